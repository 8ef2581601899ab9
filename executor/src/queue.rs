//! The ready queue: what to poll next.

use crate::waker::Slot;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// Tasks that have been woken and not yet polled, each at most once.
pub(crate) struct ReadyQueue {
    slots: RefCell<VecDeque<&'static Slot>>,
    order: Order,
}

/// In which order ready tasks are polled.
enum Order {
    /// First woken, first polled. What programs get.
    Fifo,
    /// A random one of those that are ready; the state of the generator. What tests use to find
    /// out whether they depend on the order.
    Shuffled(Cell<u64>),
}

impl ReadyQueue {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        let order = match seed {
            None => Order::Fifo,
            Some(seed) => Order::Shuffled(Cell::new(seed)),
        };
        Self { slots: RefCell::default(), order }
    }

    #[inline]
    pub(crate) fn push(&self, slot: &'static Slot) {
        self.slots.borrow_mut().push_back(slot);
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<&'static Slot> {
        let mut slots = self.slots.borrow_mut();
        match &self.order {
            Order::Fifo => slots.pop_front(),
            Order::Shuffled(_) if slots.is_empty() => None,
            Order::Shuffled(state) => {
                let index = (split_mix(state) % slots.len() as u64) as usize;
                slots.swap_remove_back(index)
            }
        }
    }

    /// Takes one slot out of turn. Linear; for the end of the main future only.
    pub(crate) fn remove(&self, slot: &'static Slot) {
        self.slots.borrow_mut().retain(|queued| !std::ptr::eq(*queued, slot));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.borrow().is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().len()
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): small, and good enough to shuffle tests.
fn split_mix(state: &Cell<u64>) -> u64 {
    let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    state.set(next);
    let mut z = next;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
