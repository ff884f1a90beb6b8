//! Work on all cores: on the calling thread and on rayon's, which burn's own operations use too; in a browser on the one
//! thread there is.

/// Calls `work` with every task, in any order, on all cores.
pub fn each<T: Send>(tasks: Vec<T>, work: impl Fn(T) + Sync) {
    map(tasks, work);
}

/// What `work` makes of every task, in their order, on all cores.
///
/// The calling thread takes one task after the other at once, and the others join it when they have woken up.
#[cfg(feature = "native")]
pub fn map<T: Send, R: Send>(tasks: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    use std::sync::{Mutex, PoisonError};

    let helpers = threads().min(tasks.len()).saturating_sub(1);
    if helpers == 0 {
        return tasks.into_iter().map(work).collect();
    }
    let done: Vec<Mutex<Option<R>>> = tasks.iter().map(|_| Mutex::new(None)).collect();
    let waiting = Mutex::new(tasks.into_iter().zip(&done));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some((task, done)) = next() {
            let result = work(task);
            *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    rayon::in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| {
                run();
                stay_awake();
            });
        }
        run();
    });
    // Every task was taken, and a panic of one has gone on from the scope.
    done.into_iter().filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// Keeps one of rayon's threads looking for work for a while, after what it does now. It would fall asleep at once, and a step
/// of a small network has a dozen pieces of work with little between them: waking a thread takes as long as such a piece.
#[cfg(feature = "native")]
fn stay_awake() {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    /// OpenMP's threads wait for a thousand times as long.
    const WHILE: Duration = Duration::from_micros(200);
    thread_local!(static UNTIL: Cell<Option<Instant>> = const { Cell::new(None) });

    let (here, until) = (rayon::current_thread_index(), Some(Instant::now() + WHILE));
    if UNTIL.get().is_some() {
        UNTIL.set(until); // this is what it found
        return;
    }
    rayon::spawn(move || {
        if rayon::current_thread_index() != here {
            return; // another one has taken this, which waits for something else
        }
        UNTIL.set(until);
        while UNTIL.get().is_some_and(|until| Instant::now() < until) {
            if rayon::yield_now() != Some(rayon::Yield::Executed) {
                (0..64).for_each(|_| std::hint::spin_loop());
            }
        }
        UNTIL.set(None);
    });
}

/// What `work` makes of every task, in their order.
#[cfg(not(feature = "native"))]
pub fn map<T: Send, R: Send>(tasks: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    tasks.into_iter().map(work).collect()
}

/// Makes the calling thread one of those that work, for a program's main thread before anything else: it then waits for the
/// others without sleeping, and they are one fewer. `threads` is how many work in all; with 0 as many as there are cores.
/// Elsewhere, and a second time, it does nothing.
#[cfg(feature = "native")]
pub fn take_part(threads: usize) {
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global();
}

/// How many tasks can run at a time.
pub fn threads() -> usize {
    #[cfg(feature = "native")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "native"))]
    return 1;
}

/// How many of `n` things a task should have, of at least `least`, so that all cores have as much to do.
pub fn share(n: usize, least: usize) -> usize {
    let rounds = n.div_ceil(threads() * least.max(1)).max(1);
    n.div_ceil(threads() * rounds).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_tasks() {
        for n in [0, 1, 2, 3, 100] {
            assert_eq!(map((0..n).collect(), |i| i * i), (0..n).map(|i| i * i).collect::<Vec<usize>>());
        }
        // From inside a task too.
        assert_eq!(map(vec![3, 4], |n| map((0..n).collect(), |i| i).len()), [3, 4]);
    }

    #[test]
    fn shares_are_equal_and_not_too_small() {
        for (n, least) in [(128, 3), (500, 11), (1, 48), (7, 2), (0, 1)] {
            let share = share(n, least);
            assert!(share >= 1 && (share >= least.min(n) || share * threads() >= n), "{n} {least} {share}");
        }
    }
}
