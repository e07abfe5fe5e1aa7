// SPDX-License-Identifier: MIT OR Apache-2.0
//! A reader that passes the bytes that are consumed from it to a function.

use std::io::{self, BufRead, Read};

use crate::bytes::read_buffered;

/// A reader of `inner` that calls `observe` with the consumed bytes.
pub(in crate::initramfs) struct Observed<'b, F> {
    inner: &'b mut dyn BufRead,
    observe: F,
}

impl<'b, F: FnMut(&[u8])> Observed<'b, F> {
    pub(in crate::initramfs) fn new(inner: &'b mut dyn BufRead, observe: F) -> Self {
        Self { inner, observe }
    }

    /// Consumes the remaining bytes, and passes them to the function.
    pub(in crate::initramfs) fn drain(&mut self) -> io::Result<()> {
        loop {
            let count = self.inner.fill_buf()?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }
}

impl<F: FnMut(&[u8])> BufRead for Observed<'_, F> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Ok(ready) = self.inner.fill_buf() {
            (self.observe)(&ready[..amount.min(ready.len())]);
        }
        self.inner.consume(amount);
    }
}

impl<F: FnMut(&[u8])> Read for Observed<'_, F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buf)
    }
}
