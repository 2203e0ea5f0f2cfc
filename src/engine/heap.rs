//! WebAssembly's memory, and how much of it was asked for in vain.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, which remembers what it did not get. A program that runs out of memory is stopped without a word, so
/// that somebody else has to ask ([`Allocator::refused`]).
#[derive(Debug, Default)]
pub struct Allocator {
    refused: AtomicUsize,
}

impl Allocator {
    pub const fn new() -> Self {
        Self { refused: AtomicUsize::new(0) }
    }

    /// Bytes of the last request that was refused; 0 when none was.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    fn note(&self, memory: *mut u8, bytes: usize) -> *mut u8 {
        if memory.is_null() {
            self.refused.store(bytes, Ordering::Relaxed);
        }
        memory
    }
}

// SAFETY: every call goes to the system's allocator as it comes.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the same.
        self.note(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.note(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        self.note(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_remembered() {
        let allocator = Allocator::new();
        let small = Layout::new::<u64>();
        // SAFETY: the layouts are sound, and what was given is given back as it was.
        unsafe {
            let memory = std::hint::black_box(allocator.alloc(small));
            assert!(!memory.is_null() && allocator.refused() == 0);
            allocator.dealloc(memory, small);
            let all = Layout::from_size_align(isize::MAX as usize - 7, 8).unwrap();
            // Memory that nobody looks at need not be asked for.
            assert!(std::hint::black_box(allocator.alloc(all)).is_null());
            assert_eq!(allocator.refused(), all.size());
        }
    }
}
