//! A guest's standard output and error: cut into lines, bounded, and put into the host's log under the component's name.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// Where a guest's output goes. Each stream that the guest opens on it cuts its own lines.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    component: Arc<str>,
    stream: Stream,
    bytes_max: usize,
}

impl Lines {
    pub(crate) fn new(component: Arc<str>, stream: Stream, bytes_max: usize) -> Lines {
        Lines { component, stream, bytes_max: bytes_max.max(1) }
    }

    fn writer(&self) -> Writer {
        Writer { lines: self.clone(), line: Vec::new() }
    }

    fn log(&self, line: &[u8]) {
        let line = printable(line);
        let component = &*self.component;
        match self.stream {
            Stream::Out => tracing::info!(target: "guest", component, "{line}"),
            Stream::Err => tracing::warn!(target: "guest", component, "{line}"),
        }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.writer())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.writer())
    }
}

/// Text as it may go into a log: no control characters, which could forge lines or drive a terminal.
pub(crate) fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

struct Writer {
    lines: Lines,
    line: Vec<u8>,
}

impl Writer {
    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            for part in text.chunks(self.lines.bytes_max) {
                if self.line.len() + part.len() > self.lines.bytes_max {
                    self.end_line();
                }
                self.line.extend_from_slice(part);
            }
            if ended {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        self.lines.log(&self.line);
        self.line.clear();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
