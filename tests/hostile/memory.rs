//! An allocator that counts, so that hostile input can be held to a bound.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what a thread allocates.
struct Counting;

thread_local! {
    static USED: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = USED.try_with(|used| {
            used.set(used.get().wrapping_add(layout.size()));
            let _ = PEAK.try_with(|peak| peak.set(peak.get().max(used.get().min(usize::MAX / 2))));
        });
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // What another thread allocated may be freed here: never below nothing.
        let _ = USED.try_with(|used| used.set(used.get().saturating_sub(layout.size())));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `work`, which may not allocate more than `cap` bytes at a time beyond what there was.
pub fn capped<T>(cap: usize, work: impl FnOnce() -> T) -> T {
    USED.set(0);
    PEAK.set(0);
    let result = work();
    let peak = PEAK.get();
    assert!(peak <= cap, "{peak} bytes allocated at a time, {cap} are allowed");
    result
}
