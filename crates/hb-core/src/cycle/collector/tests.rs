//! What becomes of samples: in order, out of order, late, too far ahead, silent, and read again by whoever goes on.

use super::*;

#[derive(Debug, Default, PartialEq)]
struct Bag(Vec<i64>);

impl Collects for Bag {
    fn total(&self) -> u64 {
        self.0.len() as u64
    }
}

type Machine = Collector<Bag, &'static str>;

const GRID: Grid = Grid { interval_ns: 10, lateness_ns: 5, future_ns: 100, silence_grace_ns: 3, silent_cycles_max: 4 };

fn now(wall: i64) -> Now {
    Now { wall: Stamp(wall), ..Now::default() }
}

/// Reads `times` from `from` on, the position of each being its index; gives what was closed.
fn read(machine: &mut Machine, times: &[i64], from: u64) -> Vec<Closing<Bag, &'static str>> {
    let token: Arc<str> = "".into();
    let mut closed = Vec::new();
    for (position, at) in (0..).zip(times).skip(usize::try_from(from).unwrap()) {
        while let Some(closing) = machine.due(position, &token, Stamp(*at), now(1_000)) {
            closed.push(closing);
        }
        if let Place::Into(bag) = machine.place(position, &token, Stamp(*at)) {
            bag.0.push(*at);
        }
    }
    let end = Mark { position: times.len() as u64, token };
    machine.read_to(&end, now(1_000));
    closed
}

fn finish(machine: &mut Machine) -> Vec<Closing<Bag, &'static str>> {
    std::iter::from_fn(|| machine.finish(now(1_000))).collect()
}

fn story(closed: &[Closing<Bag, &'static str>]) -> Vec<String> {
    let line = |c: &Closing<Bag, &'static str>| {
        let (tally, resume) = (&c.tally, &c.resume);
        format!(
            "{}..{} {:?} late {} future {} delivered {} pending {} resume {} closed {}",
            c.span.start.0,
            c.span.end.0,
            c.window.0,
            tally.late,
            tally.future,
            c.delivered,
            c.pending,
            resume.mark.position,
            resume.closed
        )
    };
    closed.iter().map(line).collect()
}

#[test]
fn w4_late_and_out_of_order_samples_are_placed_or_counted() {
    let mut machine = Machine::new(GRID, now(1_000));
    // 24 is placed before 8 comes; 26 closes 0..10 (26 - 5 >= 20 closes 10..20 too); 9 is then late.
    let mut closed = read(&mut machine, &[1, 12, 8, 14, 13, 26, 9, 27], 0);
    closed.extend(finish(&mut machine));
    assert_eq!(
        story(&closed),
        [
            "0..10 [1, 8] late 0 future 0 delivered 5 pending 3 resume 1 closed 5",
            "10..20 [12, 14, 13] late 0 future 0 delivered 5 pending 0 resume 5 closed 5",
            "20..30 [26, 27] late 1 future 0 delivered 8 pending 0 resume 8 closed 8",
        ]
    );
}

#[test]
fn w3_silence_is_decided_and_a_leap_is_one_long_cycle() {
    let mut machine = Machine::new(GRID, now(1_000));
    let closed = read(&mut machine, &[1, 38, 99, 178], 0);
    let spans: Vec<_> = closed.iter().map(|c| (c.span.start.0, c.span.end.0, c.window.0.len())).collect();
    assert_eq!(spans, [(0, 10, 1), (10, 20, 0), (20, 30, 0), (30, 40, 1), (40, 90, 0), (90, 100, 1), (100, 170, 0)]);
}

#[test]
fn w3_the_clock_closes_what_the_source_does_not() {
    let mut machine = Machine::new(GRID, now(1_000));
    assert!(machine.idle(Stamp(1_003), now(1_003)).is_none());
    // 1000..1010, held open for lateness and grace, has passed at 1018 and not before.
    assert!(machine.idle(Stamp(1_017), now(1_017)).is_none());
    let closing = machine.idle(Stamp(1_018), now(1_018)).unwrap();
    assert_eq!((closing.span.start, closing.by), (Stamp(1_000), ClosedBy::Clock));
    assert!(machine.idle(Stamp(1_018), now(1_018)).is_none());
    // A recording of the past re-anchors, because no sample had been placed.
    assert!(matches!(machine.place(0, &"".into(), Stamp(7)), Place::Into(_)));
    machine.read_to(&Mark { position: 1, token: "".into() }, now(1_020));
    // Its own event clock goes on from there.
    assert!(machine.idle(Stamp(1_020), now(1_020)).is_none());
    assert_eq!(machine.idle(Stamp(1_031), now(1_031)).unwrap().span.start, Stamp(0));
}

#[test]
fn w4_a_sample_from_the_next_century_neither_counts_nor_closes() {
    let mut machine = Machine::new(GRID, now(1_000));
    let mut closed = read(&mut machine, &[1, 1_000_000, 2], 0);
    closed.extend(finish(&mut machine));
    assert_eq!(story(&closed), ["0..10 [1, 2] late 0 future 1 delivered 3 pending 0 resume 3 closed 3"]);
}

#[test]
fn nothing_at_all_is_one_silent_cycle() {
    let mut machine = Machine::new(GRID, now(1_000));
    let closed = finish(&mut machine);
    assert_eq!(story(&closed), ["1000..1010 [] late 0 future 0 delivered 0 pending 0 resume 0 closed 0"]);
    assert!(closed[0].resume.ended);
}

/// A node takes over whose source does not give again at once what waited in the open cycle.
#[test]
fn w4_the_clock_waits_for_what_is_to_be_read_again_and_counts_what_comes_too_late() {
    let token: Arc<str> = "".into();
    let mut machine = Machine::new(GRID, now(30));
    let times = [1, 2, 12, 13, 16];
    let closed = read(&mut machine, &times, 0);
    let last = closed.last().unwrap();
    assert_eq!((last.span.start.0, last.pending, last.resume.mark.position, last.resume.closed), (0, 2, 2, 4));
    let went_on = || Machine::resume(GRID, &last.resume, (last.delivered, last.pending), Stamp(40));

    // 10..20 would be over at 28 of the event clock; for what is owed it is held until 48.
    let mut machine = went_on();
    let wall = |clock: i64| Stamp(clock + last.resume.lag_ns);
    assert!(machine.idle(wall(47), now(1_000)).is_none());
    assert!(read(&mut machine, &times, 2).is_empty());
    assert_eq!(
        story(&finish(&mut machine)),
        ["10..20 [12, 13, 16] late 0 future 0 delivered 5 pending 0 resume 5 closed 5"]
    );

    // It does not come any more: late as well.
    let mut machine = went_on();
    assert!(matches!(machine.place(6, &token, Stamp(17)), Place::Into(_)));
    machine.read_to(&Mark { position: 7, token: Arc::clone(&token) }, now(1_000));
    assert_eq!(story(&finish(&mut machine)), ["10..20 [] late 2 future 0 delivered 5 pending 0 resume 7 closed 7"]);

    // It comes later than that: counted once, as late, also by whoever goes on.
    let mut machine = went_on();
    assert!(matches!(machine.place(2, &token, Stamp(12)), Place::Into(_)));
    machine.read_to(&Mark { position: 3, token: Arc::clone(&token) }, now(1_000));
    let lag = machine.lag.ns();
    let forced = machine.idle(Stamp(48 + lag), now(2_000)).unwrap();
    assert_eq!((forced.by, forced.pending, forced.delivered), (ClosedBy::Clock, 1, 4));
    assert_eq!((forced.resume.reread, forced.resume.closed), (Some(3), 4));
    let resumed = Machine::resume(GRID, &forced.resume, (forced.delivered, forced.pending), Stamp(2_000));
    for mut machine in [machine, resumed] {
        assert!(matches!(machine.place(3, &token, Stamp(13)), Place::Late));
        assert!(matches!(machine.place(4, &token, Stamp(25)), Place::Into(_)));
        machine.read_to(&Mark { position: 5, token: Arc::clone(&token) }, now(2_000));
        let closed = finish(&mut machine);
        let last = closed.last().unwrap();
        assert_eq!((last.tally.late, last.pending, last.delivered), (1, 0, 5));
    }
}

/// A node that has decided without all that was to be read again is followed by another: what was in the cycle is not late as well.
#[test]
fn w4_what_was_read_again_before_a_forced_close_is_counted_once_by_whoever_goes_on() {
    let token: Arc<str> = "".into();
    let grid = Grid { lateness_ns: 25, ..GRID };
    let mut machine = Machine::new(grid, now(30));
    // 36 closes the first cycle; the two after it wait, one amid the other.
    let times = [1, 12, 22, 13, 14, 36];
    let closed = read(&mut machine, &times, 0);
    let [last] = &closed[..] else { panic!("{:?}", story(&closed)) };
    assert_eq!((last.pending, last.resume.mark.position, last.resume.closed), (4, 1, 5));
    let mut machine = Machine::resume(grid, &last.resume, (last.delivered, last.pending), Stamp(1_000));
    // Up to and with 13 it is read again, then the clock decides.
    for (position, at) in (0..).zip(times).take(4).skip(1) {
        let Place::Into(bag) = machine.place(position, &token, Stamp(at)) else { panic!("{at}") };
        bag.0.push(at);
    }
    machine.read_to(&Mark { position: 4, token: Arc::clone(&token) }, now(1_000));
    let forced = machine.idle(Stamp(5_000), now(5_000)).unwrap();
    assert_eq!(
        story(std::slice::from_ref(&forced)),
        ["10..20 [12, 13] late 0 future 0 delivered 5 pending 2 resume 2 closed 5"]
    );

    let mut machine = Machine::resume(grid, &forced.resume, (forced.delivered, forced.pending), Stamp(6_000));
    let mut rest = read(&mut machine, &times, forced.resume.mark.position);
    rest.extend(finish(&mut machine));
    assert_eq!(
        story(&rest),
        [
            "20..30 [22] late 1 future 0 delivered 6 pending 1 resume 5 closed 6",
            "30..40 [36] late 0 future 0 delivered 6 pending 0 resume 6 closed 6",
        ]
    );
}

/// A batch that a standby has read ahead may begin before the place from which it goes on; meanwhile wall clocks disagree.
#[test]
fn w4_what_stands_before_the_mark_is_counted_by_the_record_before_alone() {
    let token: Arc<str> = "".into();
    let mut machine = Machine::new(GRID, now(30));
    assert!(read(&mut machine, &[1, 2], 0).is_empty());
    // The clock of this node is behind: 170 is beyond 30 + 128, and counted as that.
    assert!(matches!(machine.place(2, &token, Stamp(170)), Place::Future));
    machine.read_to(&Mark { position: 3, token: Arc::clone(&token) }, now(31));
    let closed: Vec<_> = std::iter::from_fn(|| machine.idle(Stamp(1_030), now(31))).collect();
    let last = closed.last().unwrap();
    assert_eq!((closed[0].tally.future, last.resume.closed, last.resume.mark.position), (1, 3, 3));

    // The next one's is right, and it is shown 170 once more.
    let mut machine = Machine::resume(GRID, &last.resume, (last.delivered, last.pending), Stamp(170));
    assert!(last.resume.next_start <= Stamp(170), "its cycle is still to come");
    assert!(matches!(machine.place(2, &token, Stamp(170)), Place::Late));
    let Place::Into(bag) = machine.place(3, &token, Stamp(171)) else { panic!("171") };
    bag.0.push(171);
    machine.read_to(&Mark { position: 4, token }, now(171));
    let rest = finish(&mut machine);
    let counted: u64 = rest.iter().map(|c| c.window.total() + c.tally.late + c.tally.future).sum();
    assert_eq!((counted, rest.last().unwrap().delivered), (1, 4), "{:?}", story(&rest));
}

/// The wall clock was far behind when the watch began, and is put right.
#[test]
fn w3_samples_beyond_the_horizon_do_not_hold_up_the_clock() {
    let token: Arc<str> = "".into();
    let mut machine = Machine::new(GRID, now(0));
    assert!(matches!(machine.place(0, &token, Stamp(3)), Place::Into(_)));
    machine.read_to(&Mark { position: 1, token: Arc::clone(&token) }, now(4));
    // Now it is 10,000; each sample of now lies beyond what could be dated at 0.
    let mut closed = 0;
    for tick in 0..20_i64 {
        let wall = 10_000 + tick * 10;
        let position = 1 + tick.unsigned_abs();
        let _place = machine.place(position, &token, Stamp(wall));
        machine.read_to(&Mark { position: position + 1, token: Arc::clone(&token) }, now(wall));
        closed += std::iter::from_fn(|| machine.idle(Stamp(wall + 5), now(wall + 5))).count();
    }
    assert!(closed > 0, "the watch is stuck");
    assert!(matches!(machine.place(50, &token, Stamp(10_210)), Place::Into(_)));
}

/// W1, W2: killed after any record and resumed from it, a watch closes the same cycles with the same contents.
#[test]
fn w1_resumed_after_any_record_it_closes_the_same() {
    let mut state: u64 = 7;
    for round in 0..200 {
        let mut at = 0;
        let times: Vec<i64> = (0..120)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let draw = i64::try_from(state >> 40).unwrap();
                at += draw % 4;
                match draw % 50 {
                    0 => at + 1_000_000,
                    1 => at + 60,
                    n if n < 12 => at - n,
                    _ => at,
                }
            })
            .collect();
        let mut whole = Machine::new(GRID, now(1_000));
        let mut expected = read(&mut whole, &times, 0);
        expected.extend(finish(&mut whole));
        for stop in 0..expected.len() {
            let last = &expected[stop];
            let mut again = Machine::resume(GRID, &last.resume, (last.delivered, last.pending), Stamp(1_000));
            let mut rest = read(&mut again, &times, last.resume.mark.position);
            rest.extend(finish(&mut again));
            assert_eq!(story(&rest), story(&expected[stop + 1..]), "round {round}, after {stop}");
        }
        let counted: u64 = expected.iter().map(|c| c.window.total() + c.tally.late + c.tally.future).sum();
        assert_eq!(counted, 120, "round {round}");
    }
}
