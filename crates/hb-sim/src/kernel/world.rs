//! What hb sees of it: the world in the place of the machine.

use hb_core::time::{Moment, Stamp};
use hb_runtime::world::{End, Key, Task, World};

use super::{BEGIN, Clocks, Kernel, State, index};
use crate::chance::mixed;

impl Kernel {
    fn clocks(&self) -> Option<Clocks> {
        let (machine, _) = self.here()?;
        self.machine(machine, |one| one.clocks)
    }
}

impl World for Kernel {
    fn moment(&self) -> Moment {
        self.clocks().map_or(Moment(self.now()), |clocks| clocks.moment(self.now()))
    }

    fn wall(&self) -> Stamp {
        let world = BEGIN.plus_ns(i64::try_from(self.now()).unwrap_or(i64::MAX));
        self.clocks().map_or(world, |clocks| clocks.wall(self.now()))
    }

    fn pid(&self) -> u32 {
        let pid = self.here().map_or(1, |(machine, life)| (machine as u64 + 1) * 10_000 + life % 10_000);
        u32::try_from(pid).unwrap_or(u32::MAX)
    }

    fn nonce(&self) -> u64 {
        self.nonces.set(self.nonces.get() + 1);
        mixed(self.nonces.get())
    }

    fn spawn(&self, name: &str, run: Box<dyn FnOnce()>) -> Task {
        let (machine, _) = self.here().unwrap_or_default();
        self.start(machine, name, run)
    }

    fn ended(&self, task: Task) -> Option<End> {
        self.tasks.borrow_mut().get_mut(index(task.0)).and_then(|slot| slot.ended.take())
    }

    fn has_ended(&self, task: Task) -> bool {
        self.tasks.borrow().get(index(task.0)).is_none_or(|slot| slot.state == State::Ended)
    }

    fn end_of(&self, task: Task) -> Key {
        self.tasks.borrow().get(index(task.0)).map_or(Key(u64::MAX), |slot| slot.end)
    }

    fn key(&self) -> Key {
        self.make_key()
    }

    fn tell(&self, key: Key) {
        self.wake_all(key);
    }

    fn wait(&self, keys: &[Key], until: Option<Moment>) {
        if !self.can_wait() {
            return;
        }
        let until = until.map(|moment| self.clocks().map_or(moment.0, |clocks| clocks.when(moment)));
        self.wait_until(keys, until);
    }
}
