//! What can go wrong: at opening, where it is answered, and later, where it ends the process.

use std::io;

/// Why a store could not be opened. Nothing that holds data was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{directory} is in use by another process. Stop that one first, or choose another directory: \
         two processes on one store would destroy it"
    )]
    Locked { directory: String },

    #[error(
        "{directory} was written by a newer version (format {found}; this program knows up to {known}). \
         Use the version that wrote it, or a newer one"
    )]
    Newer { directory: String, found: u64, known: u64 },

    #[error("there is no store in {directory}")]
    NoStore { directory: String },

    #[error(transparent)]
    Damaged(#[from] Damage),

    #[error("{directory}: cannot {action}: {source}")]
    Io {
        directory: String,
        action: String,
        #[source]
        source: io::Error,
    },

    #[error("{directory}: cannot start the store's thread: {source}")]
    Thread {
        directory: String,
        #[source]
        source: io::Error,
    },
}

/// Something that had been made durable is no longer what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{directory}/{file} is damaged at byte {offset}: {what}. Nothing was changed. Answered writes would be \
     lost by going on, so restore the whole directory from a backup, or, if the disk or a copy is at fault, \
     bring back the original files; `trellis verify` lists everything that is wrong"
)]
pub struct Damage {
    pub directory: String,
    pub file: String,
    pub offset: u64,
    pub what: String,
}

/// The disk failed a running store. What it holds is no longer known to this process, so the process ends:
/// what was answered is on the disk, and opening again finds out the rest.
#[derive(Debug, thiserror::Error)]
#[error("{directory}: cannot {action}: {source}. {advice}", advice = advice(.source))]
pub struct Fatal {
    pub directory: String,
    pub action: String,
    #[source]
    pub source: io::Error,
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "The disk is full: free space there (or raise the limit) and start again. Nothing that was \
             answered is lost"
        }
        _ => {
            "The process ends now, because after a failed write nobody knows what the disk holds. Check the \
             disk and start again: nothing that was answered is lost"
        }
    }
}

impl Fatal {
    pub(crate) fn new(directory: &str, action: impl Into<String>, source: io::Error) -> Fatal {
        Fatal { directory: directory.to_owned(), action: action.into(), source }
    }
}

impl From<Fatal> for OpenError {
    fn from(fatal: Fatal) -> OpenError {
        OpenError::Io { directory: fatal.directory, action: fatal.action, source: fatal.source }
    }
}
