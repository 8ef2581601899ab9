//! Pending timers: a hierarchical timing wheel with nanosecond slots.
//!
//! Eleven levels of 64 slots each. A slot of level 0 is one nanosecond wide, a slot of level 1 is 64
//! nanoseconds wide, and so on; eleven levels cover every `u64`. A timer goes into the level of the
//! highest base-64 digit in which its deadline differs from the present, into the slot of that
//! digit. When the present reaches a slot, its timers are sorted into lower levels; in level 0 they
//! are due. So a timer moves at most ten times, and usually, being cancelled before, not at all.
//!
//! Insert and remove are constant-time: each slot is a doubly linked list of indices into one table.
//! Timers of the same deadline fire in the order in which they were set: at any moment they are in
//! one list, because that list is found from deadline and present alone.
//!
//! Rejected: a binary heap or a `BTreeMap` (logarithmic, and dear to cancel from); millisecond slots
//! as in tokio, which round every deadline up (Varghese and Lauck, "Hashed and Hierarchical Timing
//! Wheels", 1987, describe the family).

use slab::Slab;
use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::{Duration, Instant};

/// The timers of one executor.
pub(crate) struct Timers {
    /// Deadlines are counted from here.
    start: Instant,
    /// Whether there is any. Beside the wheel, so that the loop need not borrow it to find out.
    len: Cell<usize>,
    wheel: RefCell<Wheel>,
}

/// Names a timer. A key whose timer is gone names nothing, for ever: a home's serial numbers do not
/// come back, not even in its next executor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerKey {
    index: u32,
    serial: u64,
}

impl Timers {
    /// `first_serial` is what `next_serial` of the home's last executor said.
    pub(crate) fn new(start: Instant, first_serial: u64) -> Self {
        Self { start, len: Cell::new(0), wheel: RefCell::new(Wheel::new(first_serial)) }
    }

    pub(crate) fn next_serial(&self) -> u64 {
        self.wheel.borrow().next_serial
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    pub(crate) fn insert(&self, deadline: Instant, waker: Waker) -> TimerKey {
        self.len.set(self.len.get() + 1);
        self.wheel.borrow_mut().insert(self.nanos(deadline), waker)
    }

    /// Changes who is woken. `false` if the timer has fired.
    pub(crate) fn set_waker(&self, key: TimerKey, waker: &Waker) -> bool {
        match self.wheel.borrow_mut().get_mut(key) {
            None => return false,
            Some(timer) if timer.waker.will_wake(waker) => return true,
            Some(_) => {}
        }
        // Cloned and dropped while the wheel is free: a foreign waker may do anything, even remove
        // this timer.
        let mut waker = waker.clone();
        let mut wheel = self.wheel.borrow_mut();
        let timer = wheel.get_mut(key).map(|timer| std::mem::swap(&mut timer.waker, &mut waker));
        drop(wheel);
        timer.is_some()
    }

    pub(crate) fn remove(&self, key: TimerKey) {
        drop(self.take(key));
    }

    /// Removes a timer. `None` if it has fired.
    pub(crate) fn take(&self, key: TimerKey) -> Option<Waker> {
        let waker = self.wheel.borrow_mut().remove(key)?;
        self.len.set(self.len.get() - 1);
        Some(waker)
    }

    /// Takes out the timers that are due at `now`, one with each call of `next`.
    pub(crate) fn due(&self, now: Instant) -> impl Iterator<Item = Waker> + '_ {
        // `u64::MAX` is never reached.
        let now = self.nanos(now).min(u64::MAX - 1);
        std::iter::from_fn(move || {
            let waker = self.wheel.borrow_mut().pop_due(now)?;
            self.len.set(self.len.get() - 1);
            Some(waker)
        })
    }

    /// When the first timer is due, exactly. Looks at all timers of one slot.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.instant(self.wheel.borrow().next_deadline()?)
    }

    /// No later than the first timer is due. Constant-time. Earlier only if a timer that would have
    /// been first was cancelled.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.instant(self.wheel.borrow().next_wake()?)
    }

    fn nanos(&self, instant: Instant) -> u64 {
        let nanos = instant.saturating_duration_since(self.start).as_nanos();
        // 584 years from the start and everything after it are the same.
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// `None` for "never".
    fn instant(&self, nanos: u64) -> Option<Instant> {
        if nanos == u64::MAX { None } else { self.start.checked_add(Duration::from_nanos(nanos)) }
    }
}

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 64_usize.div_ceil(BITS as usize);
const NIL: u32 = u32::MAX;
/// The list of timers whose time has come; after the lists of all slots.
const DUE: usize = LEVELS * SLOTS;

struct Wheel {
    timers: Slab<Timer>,
    /// One list for each slot of each level, then `DUE`.
    lists: Box<[List]>,
    /// For each level, which of its slots are not empty.
    occupied: [u64; LEVELS],
    // Invariant: no timer outside of `DUE` has a deadline at or before this, and each is in the
    // list that `list_of` finds for it.
    elapsed: u64,
    next_serial: u64,
}

struct Timer {
    deadline: u64,
    serial: u64,
    waker: Waker,
    previous: u32,
    next: u32,
    list: u32,
}

#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
    /// No later than the deadline of any timer in the list.
    earliest: u64,
}

const EMPTY: List = List { first: NIL, last: NIL, earliest: u64::MAX };

impl Wheel {
    fn new(first_serial: u64) -> Self {
        Self {
            timers: Slab::new(),
            lists: vec![EMPTY; DUE + 1].into_boxed_slice(),
            occupied: [0; LEVELS],
            elapsed: 0,
            next_serial: first_serial,
        }
    }

    fn insert(&mut self, deadline: u64, waker: Waker) -> TimerKey {
        let serial = self.next_serial;
        self.next_serial += 1;
        let timer = Timer { deadline, serial, waker, previous: NIL, next: NIL, list: 0 };
        let index = self.timers.insert(timer) as u32;
        self.link(index);
        TimerKey { index, serial }
    }

    fn get_mut(&mut self, key: TimerKey) -> Option<&mut Timer> {
        self.timers.get_mut(key.index as usize).filter(|timer| timer.serial == key.serial)
    }

    fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        self.get_mut(key)?;
        Some(self.take(key.index))
    }

    fn pop_due(&mut self, now: u64) -> Option<Waker> {
        loop {
            let first = self.lists[DUE].first;
            if first != NIL {
                return Some(self.take(first));
            }
            let Some((level, slot, start)) = self.next_slot().filter(|(.., start)| *start <= now)
            else {
                // The invariant holds: nothing is due up to `now`, and no slot begins before it.
                self.elapsed = self.elapsed.max(now);
                return None;
            };
            self.elapsed = start;
            let list = &self.lists[level * SLOTS + slot];
            // A timer that is alone in the first slot is the first timer. It need not go down level
            // by level if it is due.
            if list.first == list.last && self.timers[list.first as usize].deadline <= now {
                return Some(self.take(list.first));
            }
            self.cascade(level, slot);
        }
    }

    /// Sorts a slot's timers into lower levels, or into `DUE`.
    fn cascade(&mut self, level: usize, slot: usize) {
        let list = std::mem::replace(&mut self.lists[level * SLOTS + slot], EMPTY);
        self.occupied[level] &= !(1 << slot);
        let mut index = list.first;
        while index != NIL {
            let next = self.timers[index as usize].next;
            self.link(index);
            index = next;
        }
    }

    /// The first slot that is not empty, and the time at which it begins. Every timer of a level is
    /// due before all timers of the levels above it.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        // All of them are ahead: a timer shares all higher digits with the present, and differs
        // upwards in this one.
        let slot = self.occupied[level].trailing_zeros() as usize;
        let shift = level as u32 * BITS;
        let above = shift + BITS;
        let higher = if above >= u64::BITS { 0 } else { self.elapsed >> above << above };
        Some((level, slot, higher | ((slot as u64) << shift)))
    }

    fn next_deadline(&self) -> Option<u64> {
        let mut index = self.next_list()?.first;
        let mut earliest = u64::MAX;
        while index != NIL {
            let timer = &self.timers[index as usize];
            earliest = earliest.min(timer.deadline);
            index = timer.next;
        }
        Some(earliest)
    }

    fn next_wake(&self) -> Option<u64> {
        Some(self.next_list()?.earliest)
    }

    fn next_list(&self) -> Option<&List> {
        if self.lists[DUE].first != NIL {
            return Some(&self.lists[DUE]);
        }
        let (level, slot, _) = self.next_slot()?;
        Some(&self.lists[level * SLOTS + slot])
    }

    fn list_of(&self, deadline: u64) -> usize {
        if deadline <= self.elapsed {
            return DUE;
        }
        let level = ((self.elapsed ^ deadline).ilog2() / BITS) as usize;
        let slot = (deadline >> (level as u32 * BITS)) as usize % SLOTS;
        level * SLOTS + slot
    }

    /// Puts a timer at the end of the list it belongs to.
    fn link(&mut self, index: u32) {
        let list = self.list_of(self.timers[index as usize].deadline);
        let last = self.lists[list].last;
        let timer = &mut self.timers[index as usize];
        timer.list = list as u32;
        timer.previous = last;
        timer.next = NIL;
        let deadline = timer.deadline;
        if last == NIL {
            self.lists[list].first = index;
            if list != DUE {
                self.occupied[list / SLOTS] |= 1 << (list % SLOTS);
            }
        } else {
            self.timers[last as usize].next = index;
        }
        let list = &mut self.lists[list];
        list.last = index;
        list.earliest = list.earliest.min(deadline);
    }

    /// Takes a timer out of its list and of the table.
    fn take(&mut self, index: u32) -> Waker {
        let timer = self.timers.remove(index as usize);
        let list = timer.list as usize;
        match timer.previous {
            NIL => self.lists[list].first = timer.next,
            previous => self.timers[previous as usize].next = timer.next,
        }
        match timer.next {
            NIL => self.lists[list].last = timer.previous,
            next => self.timers[next as usize].previous = timer.previous,
        }
        if self.lists[list].first == NIL {
            self.lists[list].earliest = u64::MAX;
            if list != DUE {
                self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
            }
        }
        timer.waker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::task::Wake;

    fn wheel_with(deadlines: &[u64]) -> (Wheel, Vec<TimerKey>) {
        let mut wheel = Wheel::new(0);
        let keys = deadlines.iter().map(|at| wheel.insert(*at, Waker::noop().clone())).collect();
        (wheel, keys)
    }

    fn pop_all(wheel: &mut Wheel, now: u64) -> usize {
        std::iter::from_fn(|| wheel.pop_due(now)).count()
    }

    #[test]
    fn fires_at_the_nanosecond_and_not_before() {
        for deadline in [1, 63, 64, 65, 4095, 4096, 1 << 30, (1 << 60) + 17, u64::MAX - 1] {
            let (mut wheel, _) = wheel_with(&[deadline]);
            assert_eq!(pop_all(&mut wheel, deadline - 1), 0, "{deadline}");
            assert_eq!(wheel.next_deadline(), Some(deadline));
            assert_eq!(pop_all(&mut wheel, deadline), 1, "{deadline}");
            assert_eq!(wheel.next_deadline(), None);
        }
    }

    #[test]
    fn never_is_never() {
        let (mut wheel, _) = wheel_with(&[u64::MAX]);
        assert_eq!(pop_all(&mut wheel, u64::MAX - 1), 0);
    }

    #[test]
    fn a_key_of_a_fired_timer_names_nothing() {
        let (mut wheel, keys) = wheel_with(&[5]);
        assert_eq!(pop_all(&mut wheel, 5), 1);
        let again = wheel.insert(9, Waker::noop().clone());
        assert_eq!(again.index, keys[0].index, "the place is used again");
        assert!(wheel.remove(keys[0]).is_none());
        assert!(wheel.remove(again).is_some());
    }

    #[test]
    fn a_key_of_the_last_wheel_names_nothing_in_the_next() {
        let (wheel, keys) = wheel_with(&[5]);
        let mut next = Wheel::new(wheel.next_serial);
        next.insert(5, Waker::noop().clone());
        assert!(next.remove(keys[0]).is_none());
    }

    /// Random operations against a sorted map: what is due, in which order, and when next.
    #[test]
    fn agrees_with_a_sorted_map() {
        for seed in 1..200_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut next = |below: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % below
            };
            let mut wheel = Wheel::new(0);
            // (deadline, number of insertion) -> (key, waker)
            let mut model: BTreeMap<(u64, u64), (TimerKey, Waker)> = BTreeMap::new();
            let mut now = 0;
            for step in 0..400 {
                match next(4) {
                    0 | 1 => {
                        let bits = next(40);
                        let deadline = now + 1 + next(1 << bits);
                        let waker = Waker::from(Arc::new(Distinct));
                        let key = wheel.insert(deadline, waker.clone());
                        model.insert((deadline, step), (key, waker));
                    }
                    2 if !model.is_empty() => {
                        let victim = next(model.len() as u64) as usize;
                        let at = *model.keys().nth(victim).unwrap();
                        let (key, waker) = model.remove(&at).unwrap();
                        assert!(wheel.remove(key).expect("is pending").will_wake(&waker));
                    }
                    _ => {
                        let bits = next(38);
                        now += next(1 << bits);
                        while let Some(first) = wheel.pop_due(now) {
                            let ((deadline, _), (key, waker)) =
                                model.pop_first().expect("model has it");
                            assert!(deadline <= now);
                            assert!(first.will_wake(&waker));
                            assert!(wheel.remove(key).is_none());
                        }
                        assert!(model.keys().next().is_none_or(|(deadline, _)| *deadline > now));
                    }
                }
                let first = model.keys().next().map(|(deadline, _)| *deadline);
                assert_eq!(wheel.next_deadline(), first);
                assert!(wheel.next_wake() <= first || first.is_none());
                assert_eq!(wheel.timers.len(), model.len());
            }
        }
    }

    /// Each `Arc` of it makes a waker of its own.
    struct Distinct;

    impl Wake for Distinct {
        fn wake(self: Arc<Self>) {}
    }
}
