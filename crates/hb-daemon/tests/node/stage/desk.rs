//! The lease, as the test wants it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hb_store::port::{Holder, Lease, LeaseError, Waited};

use super::Cell;

/// Where leases are given out.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    book: Cell<Book>,
}

/// What the desk knows.
#[derive(Debug, Default)]
pub(crate) struct Book {
    granted: Option<String>,
    /// What the next askers are told instead of an answer.
    pub(crate) broken: Option<String>,
    /// Who shows progress besides the askers.
    pub(crate) other: Option<Holder>,
    /// Renewals, with the name of the thread that made them.
    pub(crate) renewals: Vec<(String, Holder)>,
    pub(crate) asked: u64,
    pub(crate) released: Vec<String>,
}

impl Desk {
    /// Gives the lease to that node, whoever has it.
    pub(crate) fn grant(&self, node: &str) {
        self.book.change(|book| book.granted = Some(node.into()));
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Book)) {
        self.book.change(change);
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.book.look())
    }

    pub(crate) fn renewals_of(&self, node: &str) -> usize {
        self.look(|book| book.renewals.iter().filter(|(_, holder)| holder.node.as_str() == node).count())
    }

    pub(crate) fn lease(desk: &Arc<Self>, node: &str) -> Box<dyn Lease> {
        Box::new(Asker { desk: Arc::clone(desk), node: node.into() })
    }
}

struct Asker {
    desk: Arc<Desk>,
    node: String,
}

impl Lease for Asker {
    fn acquire(&mut self, patience: Duration) -> Result<Waited, LeaseError> {
        self.desk.book.change(|book| book.asked += 1);
        let mine = |book: &Book| book.granted.as_deref() == Some(&*self.node);
        let book = self.desk.book.wait_while(patience, |book| book.broken.is_none() && !mine(book));
        match &book.broken {
            Some(why) => Err(LeaseError(why.clone())),
            None if mine(&book) => Ok(Waited::Granted { how: "stage", why: "the test says so".into() }),
            None => Ok(Waited::Held),
        }
    }

    fn renew(&mut self, me: &Holder) -> Result<(), LeaseError> {
        let thread = thread::current().name().unwrap_or_default().to_owned();
        self.desk.book.change(|book| book.renewals.push((thread, me.clone())));
        match &self.desk.book.look().broken {
            Some(why) => Err(LeaseError(why.clone())),
            None => Ok(()),
        }
    }

    fn release(&mut self) -> Result<(), LeaseError> {
        self.desk.book.change(|book| {
            book.granted.take_if(|node| *node == self.node);
            book.released.push(self.node.clone());
        });
        Ok(())
    }

    fn holder(&mut self) -> Result<Option<Holder>, LeaseError> {
        Ok(self.desk.book.look().other.clone())
    }
}
