//! Ctrl-C and SIGTERM.
//!
//! [`run`](crate::run) listens by itself: the first signal asks the main future to stop, so that
//! destructors run and the process ends in good order; the third one ends the process at once, even
//! if it hangs in a loop. A program that wants to do something else with signals, such as a server
//! that finishes what it is serving, turns that off with
//! [`Builder::signals`](crate::Builder::signals) and uses [`Signals`].
//!
//! On Unix these are SIGINT and SIGTERM; on Windows Ctrl-C and the C runtime's `SIGTERM`.

#[cfg_attr(not(unix), path = "signal/bell_portable.rs")]
#[cfg_attr(unix, path = "signal/bell_unix.rs")]
mod bell;

use bell::Bell;
use quell_cancel::{CancelHandle, CancelKind, Reason};
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level;
use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker, ready};

/// A signal that asks a process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: Ctrl-C at the terminal.
    Interrupt,
    /// SIGTERM: `kill`, a service manager, a container that is stopped.
    Terminate,
}

impl Signal {
    const ALL: [Self; 2] = [Self::Interrupt, Self::Terminate];

    /// The signal's number in the operating system.
    pub fn number(self) -> i32 {
        match self {
            Self::Interrupt => SIGINT,
            Self::Terminate => SIGTERM,
        }
    }

    /// The exit status that shells use for a process that was stopped by this signal: 128 plus its
    /// number, so 130 for SIGINT and 143 for SIGTERM.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(128 + self.number() as u8)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Waits for Ctrl-C, once.
///
/// # Errors
///
/// As [`Signals::new`].
///
/// # Cancel safety
///
/// A Ctrl-C that comes while nobody waits has its usual effect: it ends the process.
pub async fn ctrl_c() -> io::Result<()> {
    Signals::new(&[Signal::Interrupt])?.recv().await;
    Ok(())
}

/// Receives signals instead of letting them end the process.
///
/// While it lives, the signals it was made for have no other effect. When it is dropped they have
/// their usual one again.
///
/// ```no_run
/// use quell::signal::{Signal, Signals};
///
/// let runtime = quell::Builder::new().signals(false).build()?;
/// runtime.block_on(async {
///     let mut signals = Signals::new(&[Signal::Interrupt, Signal::Terminate])?;
///     let signal = signals.recv().await;
///     println!("{signal}: finishing what is left");
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Signals {
    inbox: Inbox,
}

impl Signals {
    /// Begins to receive. Several receivers of the same signal get it each.
    ///
    /// # Errors
    ///
    /// If no runtime is running on this thread; if the operating system refuses to install a
    /// handler or has no file descriptor left.
    pub fn new(signals: &[Signal]) -> io::Result<Self> {
        let inbox = Inbox::new(signals)?;
        for signal in inbox.signals() {
            LISTENERS[signal as usize].fetch_add(1, Ordering::SeqCst);
        }
        Ok(Self { inbox })
    }

    /// Waits for the next signal. The same signal arriving several times before it is received
    /// counts once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no signal.
    pub async fn recv(&mut self) -> Signal {
        poll_fn(|cx| self.inbox.poll(cx)).await
    }

    /// [`recv`](Self::recv) as a poll function.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        self.inbox.poll(cx)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for signal in self.inbox.signals() {
            LISTENERS[signal as usize].fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.inbox.signals()).finish()
    }
}

// ---- what `run` uses ----

/// Watches for signals while `run` is running.
pub(crate) struct Watch {
    inbox: std::cell::RefCell<Inbox>,
    first: Cell<Option<Signal>>,
}

impl Watch {
    /// On the executor that is running on this thread.
    pub(crate) fn new() -> io::Result<Self> {
        let inbox = Inbox::new(&Signal::ALL)?;
        if RUNS.fetch_add(1, Ordering::SeqCst) == 0 {
            RECEIVED.store(0, Ordering::SeqCst);
        }
        Ok(Self { inbox: inbox.into(), first: Cell::new(None) })
    }

    /// The first signal that came, also if the main future did not let itself be stopped by it.
    pub(crate) fn first(&self) -> Option<Signal> {
        self.first.get()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        RUNS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs `main`, and asks it to stop when a signal comes.
pub(crate) async fn stop_on_signal<F: Future>(
    watch: Option<&Watch>,
    scope: &CancelHandle,
    main: F,
) -> F::Output {
    let mut main = pin!(main);
    poll_fn(|cx| {
        if let Some(watch) = watch {
            while let Poll::Ready(signal) = watch.inbox.borrow_mut().poll(cx) {
                watch.first.set(watch.first.get().or(Some(signal)));
                scope.cancel_with(Reason::new(CancelKind::Signal).with_message(signal.name()));
            }
        }
        main.as_mut().poll(cx)
    })
    .await
}

// ---- from the handler to the loop ----

/// How many `run`s watch for signals.
static RUNS: AtomicUsize = AtomicUsize::new(0);
/// How many `Signals` receive each signal.
static LISTENERS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
/// How many signals have come since the first `run` began.
static RECEIVED: AtomicUsize = AtomicUsize::new(0);

/// The number of the signal that ends the process at once.
const LAST_RESORT: usize = 3;

/// Installs the handler that decides what a signal does to the process. It stays for good:
/// signal-hook keeps its own handler installed when the last action is removed, which would leave
/// the signal without any effect.
fn install_handler() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), io::ErrorKind>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        for signal in Signal::ALL {
            // SAFETY: the action runs inside a signal handler. It does nothing but load and add to
            // atomics that are statics, and call `emulate_default_handler`, which is documented to
            // be async-signal-safe. It allocates nothing, takes no lock and does not panic.
            let registered =
                unsafe { low_level::register(signal.number(), move || on_signal(signal)) };
            registered.map_err(|error| error.kind())?;
        }
        Ok(())
    });
    installed.map_err(|kind| io::Error::new(kind, "the signal handler could not be installed"))
}

/// Runs inside the signal handler.
fn on_signal(signal: Signal) {
    if LISTENERS[signal as usize].load(Ordering::SeqCst) > 0 {
        return;
    }
    let watched = RUNS.load(Ordering::SeqCst) > 0;
    if !watched || RECEIVED.fetch_add(1, Ordering::SeqCst) + 1 >= LAST_RESORT {
        // Does not return if it succeeds. If it fails there is nobody to tell.
        let _ = low_level::emulate_default_handler(signal.number());
    }
}

/// Signals on their way to one receiver: a flag each, and one bell to say that a flag was set.
struct Inbox {
    flags: Vec<Flag>,
    bell: Bell,
    /// How the bell was armed last.
    armed: Option<Arc<Armed>>,
}

struct Flag {
    signal: Signal,
    raised: Arc<AtomicBool>,
    /// The actions of the handler: raise the flag, ring the bell. In this order.
    actions: [SigId; 2],
}

impl Inbox {
    fn new(signals: &[Signal]) -> io::Result<Self> {
        install_handler()?;
        let bell = Bell::new()?;
        let mut inbox = Self { flags: Vec::new(), bell, armed: None };
        for signal in Signal::ALL.into_iter().filter(|signal| signals.contains(signal)) {
            let raised = Arc::new(AtomicBool::new(false));
            let raise = signal_hook::flag::register(signal.number(), raised.clone())?;
            let ring = match inbox.bell.register(signal.number()) {
                Ok(ring) => ring,
                Err(error) => {
                    low_level::unregister(raise);
                    return Err(error);
                }
            };
            inbox.flags.push(Flag { signal, raised, actions: [raise, ring] });
        }
        Ok(inbox)
    }

    fn signals(&self) -> impl Iterator<Item = Signal> + '_ {
        self.flags.iter().map(|flag| flag.signal)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        loop {
            let raised = self.flags.iter().find(|flag| flag.raised.swap(false, Ordering::SeqCst));
            if let Some(flag) = raised {
                return Poll::Ready(flag.signal);
            }
            // The main future is polled often and signals are rare: a bell that is armed and has
            // not rung is not asked, because that takes a system call.
            if self.armed.as_ref().is_some_and(|armed| armed.still_for(cx.waker())) {
                return Poll::Pending;
            }
            let armed =
                Arc::new(Armed { rung: AtomicBool::new(false), receiver: cx.waker().clone() });
            let waker = Waker::from(armed.clone());
            self.armed = Some(armed);
            ready!(self.bell.poll(&mut Context::from_waker(&waker)));
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        for action in self.flags.iter().flat_map(|flag| flag.actions) {
            low_level::unregister(action);
        }
    }
}

/// The receiver's waker, and whether it has been used.
struct Armed {
    rung: AtomicBool,
    receiver: Waker,
}

impl Armed {
    fn still_for(&self, waker: &Waker) -> bool {
        !self.rung.load(Ordering::SeqCst) && self.receiver.will_wake(waker)
    }
}

impl Wake for Armed {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        self.receiver.wake_by_ref();
    }
}
