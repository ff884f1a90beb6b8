//! The ranks of an MPI job: processes that `mpirun` or `srun` started together, on one machine or on many.
//!
//! All calls of MPI's are made by one thread, which waits for orders. So the thread that trains never stands still in a call
//! that cannot be interrupted: where the others do not answer after a signal, it can say so.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};

use super::peers::{Exchange, Posted};
use crate::error::{Error, ErrorKind, Result};

/// No call of MPI's takes more values than this: its counts are of 31 bits.
const MOST: usize = 1 << 28;
/// So many vectors are kept to sum into.
const SPARE: usize = 16;
/// Between two looks at whether a call is done, while a rank waits for orders and need not hurry.
const LOOK: Duration = Duration::from_micros(500);
/// Between two looks at whether a signal came, while the others are waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// What the thread of MPI is asked to do, and where its answer goes.
enum Order {
    Sum(Vec<f32>, Sender<Vec<f32>>),
    Gather(Vec<u8>, Sender<Vec<Vec<u8>>>),
    Broadcast(Vec<u8>, Sender<Vec<u8>>),
    Abort(i32),
}

/// This process among the ranks of its job.
pub struct Job {
    /// None once the job has ended.
    orders: Mutex<Option<Sender<Order>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    rank: usize,
    count: usize,
    host: String,
    /// A signal's number, once one came, and whom to tell that the others do not answer.
    signal: OnceLock<(Arc<AtomicUsize>, fn())>,
    /// Whether that was told.
    told: AtomicBool,
}

/// What is known of the job once MPI has started.
struct Start {
    rank: usize,
    count: usize,
    host: String,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {} on {}", self.rank, self.count, self.host)
    }
}

impl Job {
    /// Joins the other ranks.
    ///
    /// # Errors
    /// Device: MPI does not start.
    pub fn join() -> Result<Self> {
        let failed = |why: String| Error::new(ErrorKind::Device, format!("MPI does not start: {why}"));
        let (orders, inbox) = channel();
        let (started, start) = channel();
        let thread = std::thread::Builder::new().name("mpi".into());
        let thread = thread.spawn(move || serve(&inbox, &started)).map_err(|e| failed(e.to_string()))?;
        let Ok(Start { rank, count, host }) = start.recv() else {
            return Err(failed("it was started before, or its library refuses".into()));
        };
        Ok(Self {
            orders: Mutex::new(Some(orders)),
            thread: Mutex::new(Some(thread)),
            rank,
            count,
            host,
            signal: OnceLock::new(),
            told: AtomicBool::new(false),
        })
    }

    /// The name of this rank's machine.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Calls `tell` once, where `signal` holds a signal's number and the others have not answered for a while: one of them may
    /// have died.
    pub fn watch(&self, signal: Arc<AtomicUsize>, tell: fn()) {
        let _ = self.signal.set((signal, tell)); // only the first counts
    }

    /// Ends the job in good order; all ranks have to.
    pub fn end(&self) {
        drop(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join(); // its panics have been shown
        }
    }

    /// Ends all processes of the job at once.
    pub fn abort(&self, code: i32) -> ! {
        let _ = self.send(Order::Abort(code));
        std::thread::sleep(Duration::from_secs(5)); // MPI ends the process long before
        std::process::exit(code)
    }

    fn send(&self, order: Order) -> Result<()> {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = orders.as_ref().is_some_and(|to| to.send(order).is_ok());
        if sent { Ok(()) } else { Err(over()) }
    }

    fn ask<T>(&self, order: impl FnOnce(Sender<T>) -> Order) -> Result<T> {
        let (answer, answered) = channel();
        self.send(order(answer))?;
        self.wait(&answered)
    }

    fn wait<T>(&self, answered: &Receiver<T>) -> Result<T> {
        loop {
            match answered.recv_timeout(PATIENCE) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(over()),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some((signal, tell)) = self.signal.get()
                        && signal.load(Ordering::Relaxed) != 0
                        && !self.told.swap(true, Ordering::Relaxed)
                    {
                        tell();
                    }
                }
            }
        }
    }
}

fn over() -> Error {
    Error::new(ErrorKind::Device, "the MPI job is over")
}

impl Exchange for Job {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn sum(&self, values: Vec<f32>) -> Result<Vec<f32>> {
        self.ask(|answer| Order::Sum(values, answer))
    }

    fn post(&self, values: Vec<f32>) -> Result<Posted> {
        let (answer, posted) = channel();
        self.send(Order::Sum(values, answer))?;
        Ok(posted)
    }

    fn collect(&self, posted: &Posted) -> Result<Vec<f32>> {
        self.wait(posted)
    }

    fn gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        self.ask(|answer| Order::Gather(bytes, answer))
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        self.ask(|answer| Order::Broadcast(bytes, answer))
    }
}

/// The thread of MPI. It ends, and MPI with it, when nobody can give orders any more.
fn serve(inbox: &Receiver<Order>, started: &Sender<Start>) {
    let Some((universe, _)) = mpi::initialize_with_threading(mpi::Threading::Funneled) else { return };
    let world = universe.world();
    let host = mpi::environment::processor_name().unwrap_or_default();
    let (Ok(rank), Ok(count)) = (usize::try_from(world.rank()), usize::try_from(world.size())) else { return };
    if started.send(Start { rank, count, host }).is_err() {
        return;
    }
    let mut spare = Vec::new();
    for order in inbox {
        // Who asked may be gone; the others still wait for this rank.
        match order {
            Order::Sum(values, answer) => drop(answer.send(sum(&world, values, &mut spare))),
            Order::Gather(bytes, answer) => drop(answer.send(gather(&world, count, &bytes))),
            Order::Broadcast(bytes, answer) => drop(answer.send(broadcast(&world, bytes))),
            Order::Abort(code) => world.abort(code),
        }
    }
}

/// Sums into a vector of an earlier order, where one of `spare` is large enough: the operating system clears every page that
/// it gives to a program, which takes longer than to sum.
fn sum(world: &SimpleCommunicator, values: Vec<f32>, spare: &mut Vec<Vec<f32>>) -> Vec<f32> {
    let fits = |vector: &Vec<f32>| (values.len()..=2 * values.len()).contains(&vector.capacity());
    let mut sums = spare.iter().position(fits).map(|i| spare.swap_remove(i)).unwrap_or_default();
    sums.resize(values.len(), 0.0);
    for (values, sums) in values.chunks(MOST).zip(sums.chunks_mut(MOST)) {
        world.all_reduce_into(values, sums, SystemOperation::sum());
    }
    spare.push(values);
    spare.drain(..spare.len().saturating_sub(SPARE));
    sums
}

fn gather(world: &SimpleCommunicator, count: usize, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut sizes = vec![0; count];
    let size = i32::try_from(bytes.len()).unwrap_or_default(); // what is gathered is small: results, and names
    world.all_gather_into(&size, &mut sizes[..]);
    let starts: Vec<i32> = sizes.iter().scan(0, |end, size| Some(std::mem::replace(end, *end + size))).collect();
    let mut all = vec![0; sizes.iter().map(|size| *size as usize).sum()];
    world.all_gather_varcount_into(bytes, &mut PartitionMut::new(&mut all[..], &sizes[..], &starts[..]));
    sizes.iter().zip(starts).map(|(size, start)| all[start as usize..][..*size as usize].to_vec()).collect()
}

/// Waits without keeping a core busy: the first rank may read files for minutes before it has something to say.
fn broadcast(world: &SimpleCommunicator, mut bytes: Vec<u8>) -> Vec<u8> {
    let root = world.process_at_rank(0);
    let mut size = bytes.len() as u64;
    mpi::request::scope(|scope| {
        let mut request = root.immediate_broadcast_into(scope, &mut size);
        loop {
            match request.test() {
                Ok(_) => return,
                Err(pending) => request = pending,
            }
            std::thread::sleep(LOOK);
        }
    });
    bytes.resize(size as usize, 0);
    bytes.chunks_mut(MOST).for_each(|chunk| root.broadcast_into(chunk));
    bytes
}
