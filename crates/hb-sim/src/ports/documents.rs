//! Baseline documents, shared by all nodes.

use std::sync::Arc;

use hb_core::journal::Hash;
use hb_core::watch::baseline::Baseline;
use hb_daemon::parts::Documents;

use super::line::{Answer, Does, Line};
use crate::fault::Fault;
use crate::stage::here;

/// A process's handle on the documents.
#[derive(Debug)]
pub(crate) struct Port {
    line: Line,
}

impl Port {
    pub(crate) fn new(line: Line) -> Self {
        Self { line }
    }
}

impl Documents for Port {
    fn put(&mut self, hash: Hash, bytes: &[u8]) -> Result<(), String> {
        if here().strikes(Fault::DocumentFails) {
            return Err("the document could not be written".into());
        }
        let what = bytes.to_vec();
        let put = self.line.ask(Does::Changes, move |stage| {
            if stage.full.get() {
                return Err("no space left on the store".to_owned());
            }
            stage.documents.borrow_mut().insert(hash, what.clone());
            Ok(())
        });
        match put {
            Answer::Told(put) => put,
            Answer::Unknown(why) | Answer::Refused(why) => Err(why.into()),
        }
    }

    fn get(&mut self, hash: Hash) -> Result<Arc<Baseline>, String> {
        let read = self.read(hash);
        if read.is_err() {
            here().ledger.borrow_mut().in_vain.insert((self.line.machine, self.line.life));
        }
        read
    }

    fn lend(&mut self, _: Hash, _: &Arc<Baseline>) {}
}

impl Port {
    fn read(&self, hash: Hash) -> Result<Arc<Baseline>, String> {
        if here().strikes(Fault::DocumentFails) {
            return Err("the document could not be read".into());
        }
        let bytes = match self.line.ask(Does::Reads, move |stage| stage.documents.borrow().get(&hash).cloned()) {
            Answer::Told(Some(bytes)) => bytes,
            Answer::Told(None) => return Err(format!("there is no document {}", hash.short())),
            Answer::Unknown(why) | Answer::Refused(why) => return Err(why.into()),
        };
        Baseline::from_bytes(&bytes, hash).map(Arc::new)
    }
}
