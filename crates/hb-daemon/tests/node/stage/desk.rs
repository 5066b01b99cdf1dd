//! The lease, as the test wants it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hb_store::port::{Holder, Lease, LeaseError, Order, Orders, Waited};

use super::{Cell, DEADLINE};

/// Where leases are given out.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    book: Cell<Book>,
}

/// What the desk knows.
#[derive(Debug, Default)]
pub(crate) struct Book {
    granted: Option<String>,
    /// When nobody has it, whoever asks gets it; but for the one that was told to hand over.
    pub(crate) free_for_all: bool,
    /// Nobody gets an answer.
    pub(crate) hung: bool,
    /// What operators ask.
    pub(crate) orders: Orders,
    /// How far back each asker stood when it asked last.
    pub(crate) behind: Vec<(String, u32)>,
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
        Box::new(Asker { desk: Arc::clone(desk), node: node.into(), behind: 0 })
    }
}

struct Asker {
    desk: Arc<Desk>,
    node: String,
    behind: u32,
}

impl Asker {
    /// Hangs for as long as the desk does.
    fn answer(&self) {
        let _answering = self.desk.book.wait_while(DEADLINE * 2, |book| book.hung);
    }
}

impl Lease for Asker {
    fn acquire(&mut self, patience: Duration) -> Result<Waited, LeaseError> {
        self.answer();
        self.desk.book.change(|book| {
            book.asked += 1;
            book.behind.push((self.node.clone(), self.behind));
            let leaves = book.orders.switchover.as_ref().is_some_and(|one| one.from.as_str() == self.node);
            if book.free_for_all && book.granted.is_none() && !leaves && book.broken.is_none() {
                book.granted = Some(self.node.clone());
            }
        });
        let mine = |book: &Book| book.granted.as_deref() == Some(&*self.node);
        let book = self.desk.book.wait_while(patience, |book| book.broken.is_none() && !mine(book));
        match &book.broken {
            Some(why) => Err(LeaseError(why.clone())),
            None if mine(&book) => Ok(Waited::Granted { how: "stage", why: "the test says so".into() }),
            None => Ok(Waited::Held),
        }
    }

    fn renew(&mut self, me: &Holder) -> Result<(), LeaseError> {
        self.answer();
        let thread = thread::current().name().unwrap_or_default().to_owned();
        self.desk.book.change(|book| book.renewals.push((thread, me.clone())));
        match &self.desk.book.look().broken {
            Some(why) => Err(LeaseError(why.clone())),
            None => Ok(()),
        }
    }

    fn release(&mut self) -> Result<(), LeaseError> {
        self.answer();
        self.desk.book.change(|book| {
            book.granted.take_if(|node| *node == self.node);
            book.released.push(self.node.clone());
        });
        Ok(())
    }

    fn holder(&mut self) -> Result<Option<Holder>, LeaseError> {
        self.answer();
        Ok(self.desk.book.look().other.clone())
    }

    fn orders(&mut self) -> Result<Orders, LeaseError> {
        self.answer();
        Ok(self.desk.book.look().orders.clone())
    }

    fn order(&mut self, order: Order) -> Result<Orders, LeaseError> {
        self.answer();
        self.desk.book.change(|book| book.orders = std::mem::take(&mut book.orders).after(order));
        self.orders()
    }

    fn stand_behind(&mut self, others: u32) {
        self.behind = others;
    }
}
