//! Nodes on the board: names, life, places, bounds.

use hb_core::ids::Epoch;
use hb_core::node::view::Reign;

use super::*;
use crate::register::dir::DirRegister;
use crate::register::memory::{MemoryRegister, Mishap};

const PATIENCE: Duration = Duration::from_millis(400);

fn board(register: &MemoryRegister) -> Board {
    Board::with_patience(Box::new(register.clone()), PATIENCE)
}

/// As if by a process of another host.
fn elsewhere(register: &MemoryRegister) -> Board {
    let mut board = board(register);
    board.process.boot = "another boot".into();
    board
}

fn account(role: Role, priority: u8) -> Account {
    Account { role, priority, ..Account::new("0.1.0", Stamp(5)) }
}

#[test]
fn every_node_sees_every_card() {
    let register = MemoryRegister::new();
    let (mut a, mut b) = (board(&register), elsewhere(&register));
    assert_eq!(a.join(&"bench a/1".into(), &account(Role::Active, 100)).unwrap(), "bench a/1".into());
    b.join(&"b".into(), &account(Role::Standby, 100)).unwrap();
    let takeover = Takeover {
        at: Stamp(7),
        node: "bench a/1".into(),
        from: Some(Reign { node: "b".into(), epoch: Epoch(3) }),
        epoch: Epoch(4),
        how: "postgres-ttl".into(),
        why: "w".repeat(5000),
        took_seconds: Some(0.012),
        gap_seconds: Some(0.5),
    };
    let told = Account { epoch: Epoch(4), takeover: Some(takeover), ..account(Role::Active, 100) };
    a.post(&told).unwrap();
    let roster = b.roster().unwrap();
    let names: Vec<_> = roster.nodes.iter().map(|entry| (entry.card.node.as_str(), entry.own)).collect();
    assert_eq!(names, [("b", true), ("bench a/1", false)]);
    let card = &roster.nodes[1].card;
    assert_eq!((card.account.epoch, card.posts), (Epoch(4), 2));
    assert_eq!(card.account.takeover.as_ref().unwrap().why.chars().count(), 501, "texts have bounds");
    assert_eq!(roster.active().map(|entry| entry.card.node.as_str()).collect::<Vec<_>>(), ["bench a/1"]);
    a.leave().unwrap();
    assert_eq!(b.roster().unwrap().nodes.len(), 1);
}

#[test]
fn life_is_judged_by_how_long_a_card_stands_still() {
    let register = MemoryRegister::new();
    let (mut a, mut reader) = (elsewhere(&register), board(&register));
    a.join(&"a".into(), &account(Role::Active, 100)).unwrap();
    let life = |reader: &mut Board| reader.roster().unwrap().nodes[0].life;
    assert_eq!(life(&mut reader), Life::Unclear, "one look says nothing");
    a.post(&account(Role::Active, 100)).unwrap();
    // A machine under load may take longer than the patience for one line.
    assert_ne!(life(&mut reader), Life::Unclear);
    std::thread::sleep(PATIENCE);
    assert_eq!(life(&mut reader), Life::Gone);
    assert_eq!(reader.roster().unwrap().active().count(), 0, "one that is gone does not work");
}

#[test]
fn a_card_that_is_posted_more_seldom_is_waited_for_as_much_longer() {
    let register = MemoryRegister::new();
    let (mut a, mut reader) = (elsewhere(&register), board(&register));
    a.join(&"a".into(), &account(Role::Active, 100)).unwrap();
    let cell = register.clone().read("node/a").unwrap().unwrap();
    let slow = String::from_utf8(cell.bytes).unwrap().replace("\"rounds\":1", "\"rounds\":3");
    assert!(matches!(register.clone().swap("node/a", Some(&cell.version), slow.as_bytes()), Swapped::Done(_)));
    let mut quick = Board::with_patience(Box::new(register.clone()), PATIENCE * 3);
    let life = |reader: &mut Board| reader.roster().unwrap().nodes[0].life;
    assert_eq!((life(&mut reader), life(&mut quick)), (Life::Unclear, Life::Unclear));
    std::thread::sleep(PATIENCE * 3);
    assert_eq!((life(&mut reader), life(&mut quick)), (Life::Gone, Life::Unclear), "3 x 3");
}

#[test]
fn a_node_that_only_supervises_posts_more_seldom_while_it_is_alone_on_its_host() {
    let dir = tempfile::tempdir().unwrap();
    let open = || DirRegister::open(dir.path()).unwrap();
    if open().reach() == Reach::Shared {
        // Temporary folders that other hosts may see: it is as seldom there all the time.
        assert_eq!(Board::new(Box::new(open())).rounds(), SLOW_ROUNDS);
        return;
    }
    let (mut a, mut b) = (Board::new(Box::new(open())), Board::new(Box::new(open())));
    let supervises = Account { supervises: Some(Role::Active), ..account(Role::Active, 100) };
    let says = |board: &mut Board| {
        let roster = board.roster().unwrap();
        roster.nodes.iter().find(|entry| entry.own).unwrap().card.rounds
    };
    a.join(&"a".into(), &supervises).unwrap();
    assert_eq!((says(&mut a), a.rounds()), (1, 1), "whether it is alone is known by now, and not said yet");
    a.post(&supervises).unwrap();
    assert_eq!((says(&mut a), a.rounds()), (SLOW_ROUNDS, SLOW_ROUNDS));
    let watches = Watches { standing_by: 1, ..Watches::default() };
    a.post(&Account { watches, ..supervises.clone() }).unwrap();
    assert_eq!((says(&mut a), a.rounds()), (1, 1), "others go by the card of one with watches");
    a.post(&supervises).unwrap();
    b.join(&"b".into(), &supervises).unwrap();
    assert_eq!((says(&mut a), a.rounds()), (SLOW_ROUNDS, 1), "somebody is there: it is told at the next round");
    a.post(&supervises).unwrap();
    assert_eq!((says(&mut a), says(&mut b)), (1, 1));
    b.leave().unwrap();
    assert_eq!((says(&mut a), a.rounds()), (1, 1));
    a.post(&supervises).unwrap();
    assert_eq!(a.rounds(), SLOW_ROUNDS);
}

#[test]
fn a_process_of_this_host_that_ended_is_known_at_once() {
    let register = MemoryRegister::new();
    let (mut dead, mut reader) = (board(&register), board(&register));
    dead.process.ticks += 1;
    dead.join(&"a".into(), &account(Role::Active, 100)).unwrap();
    assert_eq!(reader.roster().unwrap().nodes[0].life, Life::Gone);
    assert_eq!(reader.join(&"a".into(), &account(Role::Standby, 100)).unwrap(), "a".into(), "its name is free");
    let taken = dead.post(&account(Role::Active, 100)).unwrap_err();
    assert!(matches!(taken, BoardError::NameTaken(ref what) if what.contains("process")), "{taken:?}");
    assert_eq!(dead.node(), None);
}

#[test]
fn two_processes_of_one_name_are_told_apart() {
    let register = MemoryRegister::new();
    let (mut a, mut b, mut c) = (board(&register), board(&register), board(&register));
    let account = account(Role::Standby, 100);
    assert_eq!(a.join(&"x".into(), &account).unwrap(), "x".into());
    assert_eq!(b.join(&"x".into(), &account).unwrap(), "x-2".into());
    assert_eq!(c.join(&"x".into(), &account).unwrap(), "x-3".into());
    a.post(&account).unwrap();
    b.leave().unwrap();
    assert_eq!(elsewhere(&register).join(&"x".into(), &account).unwrap(), "x-2".into());
}

#[test]
fn the_name_of_one_that_is_gone_elsewhere_comes_back_after_a_while() {
    let register = MemoryRegister::new();
    let mut away = elsewhere(&register);
    away.join(&"x".into(), &account(Role::Active, 100)).unwrap();
    let begun = Instant::now();
    let mut late = board(&register);
    assert!(matches!(late.rejoin(&"x".into(), &account(Role::Standby, 100)), Err(BoardError::Unavailable(_))));
    assert_eq!(late.join(&"x".into(), &account(Role::Standby, 100)).unwrap(), "x".into());
    assert!(begun.elapsed() >= PATIENCE, "it might have lived");
    // It did: it sees that its name is taken, and has it again once it is free.
    assert!(matches!(away.post(&account(Role::Active, 100)), Err(BoardError::NameTaken(_))));
    late.leave().unwrap();
    away.rejoin(&"x".into(), &account(Role::Active, 100)).unwrap();
    late.rejoin(&"x".into(), &account(Role::Standby, 1)).unwrap_err();
}

#[test]
fn the_place_of_a_node_goes_by_priority_and_name() {
    let register = MemoryRegister::new();
    let mut boards = Vec::new();
    let busy = Account { trouble: Some("journal: no route".into()), ..account(Role::Standby, 250) };
    for (name, told) in [
        ("a", account(Role::Active, 250)),
        ("b", account(Role::Standby, 100)),
        ("c", account(Role::Standby, 200)),
        ("d", account(Role::Standby, 100)),
        ("e", busy),
        ("f", account(Role::Standby, 0)),
    ] {
        let mut board = board(&register);
        board.join(&name.into(), &told).unwrap();
        boards.push(board);
    }
    let roster = boards[0].roster().unwrap();
    let place = |name: &str, priority| roster.place(&name.into(), priority);
    assert_eq!((place("c", 200), place("b", 100), place("d", 100)), (0, 1, 2));
    let why_not = |name: &str| roster.could(&name.into()).err().unwrap_or_default();
    assert_eq!((why_not("b"), roster.anybody_else(&"a".into())), (String::new(), true));
    assert!(why_not("a").contains("it is active") && why_not("e").contains("no route"));
    assert!(why_not("f").contains("never takes over") && why_not("g").contains("no life"));
}

#[test]
fn cards_that_stand_still_for_long_are_removed_and_garbage_is_named() {
    let register = MemoryRegister::new();
    let (mut active, mut gone) = (board(&register), elsewhere(&register));
    active.join(&"a".into(), &account(Role::Active, 100)).unwrap();
    gone.join(&"b".into(), &account(Role::Standby, 100)).unwrap();
    assert!(matches!(register.clone().swap("node/c", None, b"garbage"), Swapped::Done(_)));
    assert_eq!(active.roster().unwrap().unreadable, ["node/c"]);
    assert_eq!(active.sweep().unwrap(), Vec::<String>::new(), "not before their time");
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(active.sweep_after(Duration::from_millis(20)).unwrap(), ["node/b", "node/c"], "never its own");
    gone.post(&account(Role::Standby, 100)).unwrap();
    assert_eq!(active.roster().unwrap().nodes.len(), 2, "one that was only away comes back");
}

#[test]
fn the_board_has_bounds() {
    let register = MemoryRegister::new();
    for number in 0..NODES_MAX {
        assert!(matches!(register.clone().swap(&format!("node/n{number}"), None, b"x"), Swapped::Done(_)));
    }
    let mut late = board(&register);
    let refused = late.join(&"late".into(), &account(Role::Standby, 100)).unwrap_err();
    assert!(matches!(refused, BoardError::Full(ref what) if what.contains("256")), "{refused:?}");
    assert!(matches!(
        late.join(&"n".repeat(300).as_str().into(), &account(Role::Standby, 1)),
        Err(BoardError::BadName(_))
    ));
    assert!(matches!(late.join(&"".into(), &account(Role::Standby, 1)), Err(BoardError::BadName(_))));
}

#[test]
fn lost_answers_are_made_up_for() {
    let register = MemoryRegister::new();
    let mut bad = register.clone();
    bad.suffer(Mishap::DoneButUnknown);
    let mut a = Board::with_patience(Box::new(bad), PATIENCE);
    a.join(&"a".into(), &account(Role::Standby, 100)).unwrap();
    let mut bad = register.clone();
    bad.suffer(Mishap::DoneButUnknown);
    a.register = Box::new(bad);
    a.post(&account(Role::Standby, 100)).unwrap_err();
    a.post(&account(Role::Active, 100)).unwrap();
    assert_eq!(a.roster().unwrap().nodes[0].card.account.role, Role::Active);
}
