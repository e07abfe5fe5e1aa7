// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls a function for many items on a few threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{panic, thread};

/// Calls `work` for each item on `threads` threads (at least one), one of which is the caller's. Returns the results in
/// the order of the items. After an error, each thread begins at most one more item. A panic of `work` is passed on to
/// the caller.
///
/// # Errors
/// The error of the first item, in the order of the items, for which `work` failed.
pub fn try_map<T: Send, R: Send, E: Send>(
    items: impl IntoIterator<Item = T, IntoIter: Send>,
    threads: usize,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = Mutex::new(items.into_iter().enumerate());
    let failed = AtomicBool::new(false);
    let run = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let item = next.lock().ok().and_then(|mut next| next.next());
            let Some((number, item)) = item else { break };
            let result = work(item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((number, result));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panicked) => panic::resume_unwind(panicked),
            }
        }
        done
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for threads in [0, 1, 3, 200] {
            let doubled = try_map(0..100, threads, |it| Ok::<_, ()>(2 * it));
            assert_eq!(doubled, Ok((0..200).step_by(2).collect()), "{threads}");
        }
    }

    #[test]
    fn after_an_error_no_item_is_begun() {
        let begun = AtomicUsize::new(0);
        let failed = try_map(0..1000, 2, |it| {
            begun.fetch_add(1, Ordering::Relaxed);
            if it >= 5 { Err(it) } else { Ok(it) }
        });
        assert_eq!(failed, Err(5));
        assert!(begun.into_inner() <= 7);
    }
}
