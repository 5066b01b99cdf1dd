//! What the kernel promises: order, clocks and ends of tasks, by one seed.

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hb_runtime::{Monitor, channel, clock, thread, world};

use super::*;

type Log = Arc<Mutex<Vec<String>>>;

/// Three threads of one machine pass numbers on, through a channel and a monitor; another machine counts by itself.
fn relay(seed: u64) -> (Vec<String>, Vec<String>, u64, u64) {
    let kernel = Rc::new(Kernel::new(seed, Trace::in_words(0)));
    let _entered = world::enter(Rc::<Kernel>::clone(&kernel));
    let log = Log::default();
    let machine = kernel.add_machine(Clocks::new(5 * SECOND, 100, 0));
    let other = kernel.add_machine(Clocks::new(9 * SECOND, -200, 0));
    let (out, told) = (Arc::clone(&log), Arc::clone(&log));
    kernel.begin(machine, move || {
        let (sender, receiver) = channel::bounded(2);
        let sum = Arc::new(Monitor::new(0_u64));
        let kept = Arc::clone(&sum);
        let producers: Vec<_> = (0..2_u64)
            .map(|who| {
                let sender = sender.clone();
                let produce = move || (0..10).for_each(|number| sender.send(who * 100 + number).unwrap());
                thread::spawn("producer", produce).unwrap()
            })
            .collect();
        drop(sender);
        let consumer = thread::spawn("consumer", move || {
            while let Some(number) = receiver.recv() {
                out.lock().unwrap().push(format!("{number}"));
                *kept.lock() += number;
                kept.tell();
                thread::sleep(Duration::from_millis(3));
            }
            7
        })
        .unwrap();
        let mut held = sum.lock();
        while *held < 45 + 1_045 {
            held = held.wait(Duration::from_secs(60));
        }
        drop(held);
        assert_eq!(consumer.join().unwrap(), 7);
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        told.lock().unwrap().push("done".into());
    });
    kernel.begin(other, || {
        let begun = clock::moment();
        thread::sleep(Duration::from_secs(10));
        assert!(clock::since(begun) >= Duration::from_secs(10));
    });
    kernel.run_until(20 * SECOND);
    assert_eq!(kernel.panics(), []);
    assert!(!kernel.lives(machine, 1) && !kernel.lives(other, 1), "the end of a main task is the end of its process");
    let given = log.lock().unwrap().clone();
    (given, kernel.trace.words(), kernel.trace.hash(), kernel.steps())
}

#[test]
fn the_same_seed_runs_the_same_and_another_one_otherwise() {
    let (given, words, hash, steps) = relay(1);
    assert_eq!(relay(1), (given.clone(), words, hash, steps));
    assert_eq!((given.len(), given.last().map(String::as_str)), (21, Some("done")));
    let orders: std::collections::BTreeSet<_> = (0..20).map(|seed| relay(seed).0).collect();
    assert!(orders.len() > 10, "threads take turns in many orders: {}", orders.len());
}

#[test]
fn a_machine_that_dies_takes_everything_along_and_one_that_is_paused_nothing() {
    let kernel = Rc::new(Kernel::new(3, Trace::default()));
    let _entered = world::enter(Rc::<Kernel>::clone(&kernel));
    let machine = kernel.add_machine(Clocks::default());
    let log = Log::default();
    let out = Arc::clone(&log);
    struct Told(Log);
    impl Drop for Told {
        fn drop(&mut self) {
            // What is unwound reaches nothing, and does not wait.
            thread::sleep(Duration::from_secs(60));
            self.0.lock().unwrap().push("dropped".into());
        }
    }
    let ticking = move || loop {
        thread::sleep(Duration::from_secs(1));
        out.lock().unwrap().push(format!("{}", clock::moment().0 / SECOND));
    };
    let told = Told(Arc::clone(&log));
    kernel.begin(machine, move || {
        let told = told;
        drop(thread::spawn("ticks", ticking).unwrap());
        thread::sleep(Duration::from_secs(3_600));
        drop(told);
    });
    kernel.run_until(3 * SECOND + SECOND / 2);
    kernel.pause(machine, Paused::Yes);
    kernel.run_until(10 * SECOND + SECOND / 2);
    kernel.pause(machine, Paused::No);
    kernel.run_until(11 * SECOND);
    kernel.kill(machine);
    kernel.run_until(20 * SECOND);
    assert_eq!(log.lock().unwrap().as_slice(), ["1", "2", "3", "10", "dropped"]);
}

#[test]
fn a_panic_ends_the_process_and_is_told_with_its_place() {
    catch_panics();
    let kernel = Rc::new(Kernel::new(3, Trace::default()));
    let _entered = world::enter(Rc::<Kernel>::clone(&kernel));
    let machine = kernel.add_machine(Clocks::default());
    kernel.begin(machine, || {
        let failing = thread::spawn("failing", || assert_eq!(1, 2, "as it must")).unwrap();
        assert!(failing.join().is_err());
        thread::sleep(Duration::from_secs(1));
    });
    kernel.run_until(10 * SECOND);
    let panics = kernel.panics();
    assert_eq!((panics.len(), panics[0].task.as_str()), (1, "failing"));
    assert!(panics[0].what.contains("tests.rs") && panics[0].what.contains("as it must"), "{panics:?}");
}
