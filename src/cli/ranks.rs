//! The processes that `mpirun` or `srun` started together. The first one runs the command; the others do what it asks.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many ranks the job has.
static COUNT: AtomicUsize = AtomicUsize::new(1);

/// How many ranks the job has; 1 outside of a job.
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// How many ranks a launcher says that it has started.
fn launched() -> usize {
    // Open MPI's and PMIx's, MPICH's and its relatives', Slurm's for what `srun` starts.
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let of_slurm = || number("SLURM_STEP_NUM_TASKS").filter(|_| std::env::var_os("PMIX_RANK").is_some());
    number("OMPI_COMM_WORLD_SIZE").or_else(|| number("PMI_SIZE")).or_else(of_slurm).unwrap_or(1)
}

#[cfg(not(feature = "mpi"))]
mod job {
    use super::launched;
    use crate::compute::Devices;
    use crate::error::{Error, Result};

    /// Refuses a job of several ranks, each of which would train the same run.
    pub fn join() -> Result<()> {
        match launched() {
            1 => Ok(()),
            count => Err(Error::usage(format!(
                "this is one of {count} processes of an MPI job, which needs a program built with the feature mpi: \
                 cargo build --release --features mpi"
            ))),
        }
    }

    pub fn open(_list: Option<&str>) -> Result<Option<Devices>> {
        Ok(None)
    }

    pub fn threads() -> usize {
        0
    }

    pub fn follow() -> Result<()> {
        Ok(())
    }

    pub fn is_follower() -> bool {
        false
    }

    pub fn let_the_first_speak() {}

    pub fn end(_failed: Option<u8>) {}

    pub fn watch(_signal: &std::sync::Arc<std::sync::atomic::AtomicUsize>) {}
}

#[cfg(feature = "mpi")]
mod job {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, OnceLock};

    use super::super::args::open_for_rank;
    use super::super::{signals, words};
    use super::{COUNT, launched};
    use crate::compute::mpi::Job;
    use crate::compute::peers::{Exchange, Peers};
    use crate::compute::{DeviceInfo, Devices};
    use crate::error::{Error, Result};
    use crate::notice::silent;
    use crate::runs::{Order, follow as follow_orders, settle, verified::verify_once};

    /// The job, and what this rank knows of its place in it.
    static PLACE: OnceLock<Place> = OnceLock::new();

    struct Place {
        job: Arc<Job>,
        /// Ranks before this one on the same machine.
        local_rank: usize,
        /// Ranks, this one included, that may use the same cores.
        on_these_cores: usize,
    }

    /// Joins the job that this process was started in, if it was.
    pub fn join() -> Result<()> {
        if launched() < 2 {
            return match std::env::var("SLURM_STEP_NUM_TASKS").ok().and_then(|text| text.parse::<usize>().ok()) {
                Some(2..) => Err(Error::usage("srun started several processes without MPI: give it --mpi=pmix")),
                _ => Ok(()),
            };
        }
        let job = Arc::new(Job::join()?);
        if job.count() != launched() {
            return Err(Error::usage(format!(
                "{} processes were started, but MPI knows of {}: mpirun and this program are of two kinds of MPI",
                launched(),
                job.count()
            )));
        }
        // Ranks that are bound to cores of their own share none.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cores = status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap_or_default();
        let all = job.gather(format!("{}\n{cores}", job.host()).into_bytes())?;
        let host = |place: &Vec<u8>| place.split(|byte| *byte == b'\n').next().map(<[u8]>::to_vec);
        let own = &all[job.rank()];
        let local_rank = all[..job.rank()].iter().filter(|other| host(other) == host(own)).count();
        let on_these_cores = all.iter().filter(|other| *other == own).count();
        COUNT.store(job.count(), Ordering::Relaxed);
        let _ = PLACE.set(Place { job, local_rank, on_these_cores }); // it is set once
        Ok(())
    }

    /// How many threads this rank should compute on.
    pub fn threads() -> usize {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        PLACE.get().map_or(0, |place| (all / place.on_these_cores).max(1))
    }

    /// Opens a device for every rank, of a list or of all there are; none outside of a job.
    pub fn open(list: Option<&str>) -> Result<Option<Devices>> {
        let Some(place) = PLACE.get() else { return Ok(None) };
        let peers = Arc::clone(&place.job) as Peers;
        Order::Open(list.map(String::from)).give(&peers)?;
        let devices = own(place, list)?;
        settle();
        Ok(Some(devices))
    }

    /// Opens the device of this rank, and tells the others which it is.
    fn own(place: &Place, list: Option<&str>) -> Result<Devices> {
        let (device, info) = open_for_rank(list, place.local_rank)?;
        let mut devices = Devices::one(device, info);
        verify_once(&mut devices, &mut silent)?;
        let text = serde_json::to_vec(devices.info()).unwrap_or_default(); // plain data, which JSON always holds
        let all = place.job.gather(text)?;
        let all = all.iter().map(|text| serde_json::from_slice(text)).collect::<Result<Vec<DeviceInfo>, _>>();
        let mut all = all.map_err(|e| Error::invalid(format!("a rank is another version of this program: {e}")))?;
        all.remove(place.job.rank());
        Ok(devices.among(Arc::clone(&place.job) as Peers, all))
    }

    /// On every rank but the first: does what that one asks, to the end.
    pub fn follow() -> Result<()> {
        let Some(place) = PLACE.get().filter(|place| place.job.rank() > 0) else { return Ok(()) };
        let peers = Arc::clone(&place.job) as Peers;
        let followed =
            signals::install().and_then(|stop| follow_orders(&peers, &mut |list| own(place, list.as_deref()), &stop));
        followed.map_err(|e| {
            let (rank, host) = (place.job.rank(), place.job.host());
            e.reword(|message| format!("rank {rank} on {host}: {message}"))
        })
    }

    /// Whether this is another rank than the first.
    pub fn is_follower() -> bool {
        PLACE.get().is_some_and(|place| place.job.rank() > 0)
    }

    /// Waits a moment on every rank but the first. What all ranks run into is told once: the first one ends the job meanwhile,
    /// for which Open MPI takes a second.
    pub fn let_the_first_speak() {
        if is_follower() {
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
    }

    /// Ends the job: in good order where all ranks know that it is over, else at once.
    pub fn end(failed: Option<u8>) {
        let Some(place) = PLACE.get() else { return };
        if let Some(code) = failed {
            place.job.abort(i32::from(code));
        }
        let peers = Arc::clone(&place.job) as Peers;
        if place.job.rank() == 0 {
            let _ = Order::End.give(&peers); // who is gone needs no order
        }
        place.job.end();
    }

    /// Says so where a signal came and the other ranks do not answer.
    pub fn watch(signal: &Arc<AtomicUsize>) {
        let Some(place) = PLACE.get().filter(|place| place.job.rank() == 0) else { return };
        place.job.watch(Arc::clone(signal), || eprintln!("{}", words::RANKS_SILENT));
    }
}

pub use job::{end, follow, is_follower, join, let_the_first_speak, open, threads, watch};
