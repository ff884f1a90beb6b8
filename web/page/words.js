// All words of the page. Another language is another file like this one.

/** @typedef {import('./store.js').Epoch} Epoch */
/** @typedef {import('./store.js').Manifest} Manifest */
/** @typedef {import('./store.js').Network} Network */
/** @typedef {import('./store.js').Run} Run */
/** @typedef {import('./store.js').State} State */

const number = (/** @type {number} */ n) => n.toLocaleString('en');
const megabytes = (/** @type {number} */ bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
const percent = (/** @type {number} */ value, digits = 2) => `${value.toFixed(digits)} %`;
const counted = (/** @type {number} */ n, /** @type {string} */ one, /** @type {string} */ many) =>
  `${number(n)} ${n === 1 ? one : many}`;

/** A loss; JSON knows none that is infinite. @param {number | null | undefined} loss */
const lossText = (loss) =>
  loss === undefined || loss === null ? '–' : Math.abs(loss) < 1e5 ? loss.toFixed(4) : loss.toExponential(2);

// What everybody knows; other data have the name that they were given.
/** @type {Record<string, string>} */
const KNOWN = { mnist: 'MNIST', 'mnist-sample': 'MNIST, a sample', cifar10: 'CIFAR-10' };
/** @type {Record<string, string>} */
const LOSSES = { ce: 'cross-entropy', mse: 'squared error', 'ce-on-probabilities': 'cross-entropy of probabilities' };

/** @param {Network} network */
const networkName = ({ name, layers, batch_norm }) =>
  layers ? `own layers (${layers.join(', ')})` : `${name}${batch_norm ? ' with batch normalization' : ''}`;

export const words = {
  percent,
  loss: lossText,

  /**
   * The words that index.html names: `data-words` is an element's text, `data-label` what a screen reader says of
   * it.
   */
  page: /** @type {Record<string, string>} */ ({
    device: 'computes on',
    try: 'Try a network',
    model: 'network',
    padLabel: 'Draw a digit here with mouse, finger or pen',
    padKeys:
      'Escape clears the drawing, Ctrl+Z takes a stroke back. Pictures and weights (.safetensors, ' +
      '.burnpack) can be opened, dropped or pasted.',
    moreOfTry: 'Open a file, save, compare',
    undo: 'Undo',
    clear: 'Clear',
    openFile: 'Open a file',
    save: 'Download weights',
    others: 'Ask these too',
    train: 'Train a network',
    recipe: 'start from the recipe',
    start: 'Start',
    step: 'Step',
    stop: 'Stop',
    further: 'Train further',
    furtherHelp: 'Begins with the weights of the network at hand, if it has the same layers',
    toPictures: 'Train on pictures of your own',
    stepHelp: 'Makes one step of training and pauses',
    more: 'More of the recipe',
    network: 'The network',
    networkHelp: 'Click a layer to change it; drag it, or use the arrows, to move it.',
    addLayer: 'add a layer',
    emptyLayers: 'Remove all',
    closeMessage: 'Close this message',
    asText: 'Choose a known network, or write the layers as text',
    inside: 'What it sees',
    insideHelp:
      'Draw, open a picture, or click a test image: this is what every layer makes of it. Black is the lowest value.',
    seen: 'The image as the network sees it',
    confusion: 'What it takes for what',
    mistakes: 'Its surest mistakes',
    data: 'The data',
    shuffle: 'Shuffle',
    show: 'show',
    classify: 'Test the network on all test images',
    dataHelp:
      'Click an image to ask the network about it. Drop data anywhere on this page: a folder or a zip of pictures ' +
      'with a subfolder for each class, MNIST-like files (four IDX files, gzipped or not), or CIFAR-10 ' +
      '(cifar-10-binary.tar.gz, or its .bin files, one batch or more and the test batch).',
    pictures: 'Pictures of your own',
    picturesHelp:
      'Make a class for everything that the network should tell apart, and give it pictures: files, a ' +
      'folder or a zip with a subfolder a class, or the camera. They stay in this browser.',
    addClass: 'Add a class',
    openPictures: 'Open a zip',
    usePictures: 'Use these to train on',
    savePictures: 'Save as a zip',
    savePicturesHelp:
      'Unpacked, or as it is, it is a data set for the program: tinderbox train --dataset folder:pictures.zip',
    film: 'The camera',
    runs: 'Runs in this browser',
    watched: 'Runs of the program, in the folder that it looks at',
    runOverlay: 'curves',
    runName: 'run',
    runState: 'state',
    runData: 'data',
    runNetwork: 'network',
    runAccuracy: 'accuracy',
    runLoss: 'last test loss',
    bench: 'Benchmark',
    benchStart: 'Measure this device',
    benchSave: 'Download JSON',
    benchWhat: 'what',
    benchMedian: 'median',
    benchUnit: 'unit',
    benchHelp: 'The JSON is that of tinderbox bench: tinderbox bench --compare this.json native.json',
  }),

  device: {
    none: 'this browser has no WebGPU',
    noAdapter: 'WebGPU finds no adapter',
    changed: 'the device was changed',
    again: (/** @type {string} */ reason) => `${reason}; start again on the CPU`,
    lost: (/** @type {string} */ reason) => `the GPU was lost (${reason})`,
    notLoaded: (/** @type {string} */ status) => `the program cannot be loaded: ${status}`,
    cannotStart: (/** @type {string} */ why) => `The page cannot start: ${why}`,
    replayed: (/** @type {boolean} */ on) =>
      on ? 'Training steps are recorded once and replayed.' : 'Training steps are handed on operation by operation.',
    /** @param {State['device']} device */
    badge({ kind, phase, name, reason, loaded, testing }) {
      if (phase === 'failed') return 'failed';
      if (phase === 'loading') return loaded ? `loading the program, ${megabytes(loaded)} …` : 'loading the program …';
      if (phase === 'starting') return 'starting …';
      if (kind === 'webgpu') return `${name ? `${name} · ` : ''}WebGPU · gives the same results as the CPU`;
      if (testing) return `CPU · ${testing === 'WebGPU' ? 'the GPU' : testing} is being tested …`;
      return `CPU${reason ? ` · ${reason}` : ''}`;
    },
  },

  files: {
    tooLarge: (/** @type {File} */ file, /** @type {number} */ most) =>
      `${file.name} has ${(file.size / 1e6).toFixed(0)} MB; at most ${most} MB are taken`,
    expected: (/** @type {string} */ name) =>
      `${name}: expected an image, weights (.safetensors or .burnpack), the files of MNIST or CIFAR-10, ` +
      'or a zip of pictures with a folder for each class',
    tooMuch: (/** @type {number} */ most) => `the files have more than ${most} MB together; at most that much is taken`,
    noData: (/** @type {string} */ name) => `${name} holds none of CIFAR-10's files, which is all that is looked for`,
    starting: 'the page is still starting: try again in a moment',
  },

  models: {
    isNotHere: (/** @type {string} */ name) => `The link names the network "${name}", which is not in this browser.`,
    isGone: (/** @type {string} */ name) => `the weights of ${name} are not kept here any more`,
    isDamaged: (/** @type {string} */ name, /** @type {string} */ hash) =>
      `${name}: the file is damaged (its SHA-256 is ${hash}…)`,
    trainsNow: 'a network is being trained: stop it first, then open weights',
    /** @param {Manifest} about */
    about: ({ recipe, shape, classes, accuracy }) =>
      `${networkName(recipe.network)}, trained with ${LOSSES[recipe.loss] ?? recipe.loss}; ` +
      `images of ${shape.channels}×${shape.height}×${shape.width}, ` +
      `${classes.length} classes${accuracy ? `; ${percent(accuracy)} of its test images are right` : ''}`,
  },

  ask: {
    /** @param {string[]} classes */
    draw: (classes) => {
      if (classes.every((name) => /^\d$/.test(name))) return 'Draw a digit.';
      return `Draw or open a picture${classes.length < 5 ? `: ${classes.join(', ')}` : ''}.`;
    },
    open: 'Open a picture.',
    openFile: 'Open a picture',
    camera: 'Camera',
    cameraOff: 'Camera off',
    noCamera: (/** @type {string} */ why) => `The camera cannot be used: ${why}`,
    answer: (/** @type {string} */ name, /** @type {number} */ probability) =>
      `${name}, ${percent(100 * probability, 1)}`,
    probability: (/** @type {string} */ name) => `probability of ${name}`,
    latency: (/** @type {number} */ milliseconds) => `answered in ${milliseconds.toFixed(1)} ms`,
  },

  inside: {
    weights: 'Weights of the first layer',
    network: (/** @type {string} */ name) => `Of ${name}, the network that answers.`,
    /** @param {import('./worker.js').Stage} stage */
    stage: ({ output, maps, shown }) => {
      const kind = output.includes('x') ? ['map', 'maps'] : ['value', 'values'];
      const part = shown < maps ? `, the first ${shown}` : '';
      return `${output.replaceAll('x', '×')}${part} ${maps === 1 ? kind[0] : kind[1]}`;
    },
    of: (/** @type {string} */ layers) => `What ${layers} makes of the image`,
    askAbout: (/** @type {string} */ caption) => `Ask the network about this image: ${caption}`,
    isSaid: 'is\u00a0↓ said\u00a0→',
    right: 'right',
    cell: (/** @type {number} */ n, /** @type {string} */ is, /** @type {string} */ said) =>
      is === said
        ? `${counted(n, 'image', 'images')} of ${is}, recognized`
        : `${counted(n, 'image', 'images')} of ${is}, taken for ${said}`,
    mistakes: (/** @type {number} */ n) => `The surest of ${counted(n, 'mistake', 'mistakes')}`,
    noMistakes: 'No mistake at all',
  },

  data: {
    theCpu: 'CPU',
    theGpu: 'GPU',
    own: 'your files',
    ownCifar: 'CIFAR-10, your files',
    cifarSample: 'CIFAR-10, a sample',
    fetchCifar: (/** @type {number} */ bytes) => `Use a sample of CIFAR-10, in colour (${megabytes(bytes)})`,
    loading: 'loading …',
    reading: 'reading …',
    images: 'Sample images; their labels follow below',
    allClasses: 'all classes',
    only: (/** @type {string} */ name) => `only ${name}`,
    trainsNow: 'a network is being trained: stop it first, then open data',
    sampleIsBack: (/** @type {string} */ why) => `${why}: the sample is back`,
    nameOf: (/** @type {NonNullable<State['data']>} */ { identity, name }) => KNOWN[identity] ?? name,
    about: (/** @type {NonNullable<State['data']>} */ data, /** @type {number} */ shown) =>
      `${words.data.nameOf(data)}: ${number(data.train)} images to train on and ${number(data.test)} to test with, ` +
      `of which ${Math.min(shown, data.test)} are shown; drawn by the ${data.drawnBy}.`,
    measuring: 'testing …',
    measured: (/** @type {number} */ done, /** @type {number} */ images) =>
      `testing, ${number(done)} of ${number(images)} …`,
    accuracy: (/** @type {import('./store.js').Classified} */ { accuracy, classes }) =>
      `${percent(accuracy)} of ${number(classes.length)} test images are right`,
  },

  recipe: {
    none: 'there is no recipe for these data',
    changed: (/** @type {string} */ preset) =>
      `The network is another one now: that of ${preset}, which takes these images.`,
    kept: 'Your layers take these images too. All other settings are those of a recipe for them.',
    needsOtherData: (/** @type {string} */ name, /** @type {string} */ dataset) =>
      `The recipe ${name} is for ${KNOWN[dataset] ?? dataset}: drop its files on this page, and the link works.`,
  },

  network: {
    named: networkName,
    /** `parameters` are not known where a layer does not fit. */
    about: (/** @type {number} */ layers, /** @type {number | null} */ parameters) =>
      counted(layers, 'layer', 'layers') +
      (parameters === null ? '' : `, ${counted(parameters, 'parameter', 'parameters')} to learn`),
    output: (/** @type {string | null} */ output, /** @type {number} */ parameters) =>
      output === null
        ? ''
        : `→ ${output.replaceAll('x', '×')}${parameters ? `, ${counted(parameters, 'parameter', 'parameters')}` : ''}`,
    add: 'add a layer …',
    addBehind: (/** @type {string} */ layer) => `add a layer behind ${layer} …`,
    put: (/** @type {string} */ layer) => `Put ${layer} here`,
    putLast: (/** @type {string} */ layers) => `Put ${layers} at the end`,
    lastLayer: 'linear classes – the last layer: a value for each class',
    option: (/** @type {string} */ name, /** @type {string} */ about) => `${name} – ${about}`,
    asText: 'the layer as text',
    change: (/** @type {string} */ text) => `Change ${text}`,
    up: (/** @type {string} */ text) => `Move ${text} up`,
    down: (/** @type {string} */ text) => `Move ${text} down`,
    remove: (/** @type {string} */ text) => `Remove ${text}`,
  },

  train: {
    now: 'this run',
    pause: 'Pause',
    goOn: 'Continue',
    ready: (/** @type {NonNullable<State['data']>} */ data) =>
      `Start trains a network on ${words.data.nameOf(data)}, here in this tab: ` +
      `${counted(data.train, 'image', 'images')} of ${data.classes.length} classes.`,
    begins: 'training …',
    compiling: 'preparing the GPU for this network …',
    stops: 'stopping …',
    endedEarly: 'The run ended early.',
    nothingKept: 'Stopped before the first epoch ended: nothing was kept.',
    answers: (/** @type {number} */ epochs) =>
      epochs
        ? `answering: the network that is being trained, after epoch ${epochs}`
        : 'answering: the network that is being trained, in its first epoch',
    testing: (/** @type {number} */ done, /** @type {number} */ images) =>
      `testing, ${number(done)} of ${number(images)} images …`,
    step: (
      /** @type {number} */ epoch,
      /** @type {number} */ epochs,
      /** @type {number} */ step,
      /** @type {number} */ steps,
      /** @type {number | undefined} */ loss,
    ) => `training epoch ${epoch} of ${epochs}: step ${step} of ${steps}, loss ${lossText(loss)}`,
    pausedAt: (
      /** @type {number} */ epoch,
      /** @type {number} */ step,
      /** @type {number} */ steps,
      /** @type {number | undefined} */ loss,
    ) => `paused in epoch ${Math.max(epoch, 1)} behind step ${step} of ${steps}, loss ${lossText(loss)}`,
    /** `part` is how many test images it was tested on, if not on all. */
    epoch: (/** @type {Epoch} */ epoch, /** @type {number} */ epochs, part = 0) =>
      `epoch ${epoch.epoch} of ${epochs}: train loss ${lossText(epoch.train_loss)}, ` +
      `test loss ${lossText(epoch.test_loss)}, accuracy ${percent(epoch.test_accuracy)}` +
      `${part ? ` (of ${number(part)} test images)` : ''}, ` +
      `${epoch.seconds.toFixed(2)} s, ${number(Math.round(epoch.images_per_second))} images/s`,
    augmented: (/** @type {number} */ accuracy) => `; with test-time augmentation ${percent(accuracy)}`,
    done: '; done',
    stoppedAt: (/** @type {number} */ done, /** @type {number} */ epochs) =>
      `stopped after epoch ${done} of ${epochs}; what was learned since then is kept too`,
    tryRate: (/** @type {number} */ rate) => `Train at the learning rate ${rate}`,
    learnsNothing:
      'The network does no better than guessing: try a smaller learning rate, or add norm behind the layers.',
    learnsByHeart:
      'The test loss rises while the train loss falls: the network learns the train images by heart. ' +
      'Fewer epochs, more data, or augmentation helps.',
  },

  charts: {
    epoch: 'epoch',
    trainLoss: 'train loss of a step',
    testLoss: 'test loss',
    accuracy: 'test accuracy, %',
    ofRun: (/** @type {string} */ curve, /** @type {string} */ run) => `${curve}: ${run}`,
  },

  pictures: {
    own: 'your pictures',
    class: (/** @type {number} */ n) => `class ${n}`,
    about: (/** @type {number} */ classes, /** @type {number} */ pictures, /** @type {boolean} */ isEnough) =>
      classes
        ? `${counted(classes, 'class', 'classes')}, ${counted(pictures, 'picture', 'pictures')}; ` +
          (isEnough ? 'one in five is kept for testing' : 'two classes with two pictures each are needed to train')
        : 'There is no class yet.',
    count: (/** @type {number} */ n) => counted(n, 'picture', 'pictures'),
    reading: (/** @type {number} */ done, /** @type {number} */ of) => `reading, ${number(done)} of ${number(of)} …`,
    nameOf: (/** @type {string} */ name) => `name of the class ${name}`,
    badName: 'a class needs a name of its own, without slashes',
    addTo: 'Add files',
    camera: 'Camera',
    cameraOff: 'Camera off',
    snap: 'Hold to take pictures',
    filmFor: (/** @type {string} */ text, /** @type {string} */ name) => `${text}: take pictures of ${name}`,
    removeClass: (/** @type {string} */ name) => `Remove the class ${name}`,
    reallyRemove: (/** @type {string} */ name, /** @type {number} */ n) =>
      `Remove the class ${name} and its ${counted(n, 'picture', 'pictures')}?`,
    choose: (/** @type {string} */ name) => `Choose the picture ${name}, to remove it`,
    removeChosen: (/** @type {number} */ n) => `Remove ${counted(n, 'picture', 'pictures')}`,
    wereThere: (/** @type {number} */ n) =>
      `${counted(n, 'picture was', 'pictures were')} there already, and ${n === 1 ? 'was' : 'were'} not added again`,
    noFolders: 'expected pictures in folders, one a class, such as cats/1.jpg and dogs/2.jpg',
    leftOut: (/** @type {number} */ n) =>
      `${counted(n, 'file', 'files')} could not be read as a picture, and ${n === 1 ? 'was' : 'were'} left out`,
    tooMany: (/** @type {number} */ most) => `a tab takes at most ${number(most)} pictures`,
    notKept: (/** @type {string} */ why) => `the pictures are here, but this browser does not keep them: ${why}`,
  },

  runs: {
    none: 'What is trained here is kept here, in this browser, and survives a reload.',
    about: (/** @type {number} */ runs, /** @type {number} */ usage, /** @type {number} */ quota) =>
      `${counted(runs, 'run is', 'runs are')} kept in this browser` +
      `${usage ? `, which holds ${megabytes(usage)} of at most ${megabytes(quota)} for this page` : ''}.`,
    notKept: (/** @type {string} */ why) => `This browser keeps no runs: ${why}`,
    full: 'its room for this page is used up; delete some runs',
    how: (/** @type {Run} */ { state, history, epochs, began }) => {
      const end = { trains: 'trains', done: 'done', stopped: 'stopped' }[state];
      const when = new Date(began).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
      return `${end}, ${history.length} of ${counted(epochs, 'epoch', 'epochs')}; ${when}`;
    },
    overlay: (/** @type {string} */ name) => `Draw the curves of ${name}`,
    open: 'Use',
    save: 'Download',
    rename: 'Rename',
    remove: 'Delete',
    openRun: (/** @type {string} */ name) => `Use the network of ${name}`,
    saveRun: (/** @type {string} */ name) => `Download the weights of ${name}`,
    renameRun: (/** @type {string} */ name) => `Rename ${name}`,
    removeRun: (/** @type {string} */ name) => `Delete ${name}`,
    newName: 'A new name for this run:',
    otherData: (/** @type {string} */ name, /** @type {string} */ data) =>
      `${name} was trained on ${data}: to train it further, use these data first.`,
    reallyDelete: (/** @type {string} */ name) => `Delete ${name}, its curves and its weights?`,
  },

  watched: {
    gone: (/** @type {string} */ name) => `${name} is not there any more`,
    device: (/** @type {string} */ device) => `on ${device}`,
    /** @param {import('./store.js').Watched} run */
    how: ({ state, done, epochs, last }) => {
      const end = { trains: 'trains', done: 'done', stopped: 'stopped' }[state];
      const speed = state === 'trains' && last ? `, ${number(Math.round(last.images_per_second))} images/s` : '';
      return `${end}, ${number(done)} of ${counted(epochs, 'epoch', 'epochs')}${speed}`;
    },
    report: 'Report',
  },

  bench: {
    needsSample: 'the benchmark is on the sample of MNIST: reload the page for it',
    measuring: 'measuring …',
    done: 'done',
    failed: (/** @type {string} */ why) => `FAILED: ${why}`,
  },
};
