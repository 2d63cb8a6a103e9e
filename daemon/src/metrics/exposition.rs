//! The figures as OpenMetrics text, with the process's own memory and descriptors beside them.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::Metrics;
use super::instruments::{Counter, Counters, Gauge, Gauges, Histogram};
use super::labels::Label;

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const NANOSECONDS_PER_SECOND: f64 = 1e9;

impl Metrics {
    /// All figures as OpenMetrics text.
    pub fn text(self: &Arc<Self>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut out = String::with_capacity(16 * 1024);
        text::encode(&mut out, &registry).expect("writing to a string does not fail");
        out
    }
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        page.gauges("connections", "Open client connections", &self.connections)?;
        page.counter("connects", "Client connections accepted", &self.connects)?;
        page.named("closes", "Client connections ended, by close code", "code", self.closes.read())?;
        page.gauge("rooms", "Rooms with members", &self.rooms)?;
        page.gauge("sessions", "Sessions, suspended ones included", &self.sessions)?;
        page.counters("messages_received", "Messages from clients", &self.messages_received)?;
        page.counters("deliveries", "Frames written to clients", &self.deliveries)?;
        page.counters("writes", "Writes of a turn's frames, one for each client that had any", &self.writes)?;
        page.gauge("writers", "Threads that help the hub to write", &self.writers)?;
        page.counter("conflated", "Latest-wins frames replaced before they were written", &self.conflated)?;
        page.counters("outbox_drops", "Frames dropped because an outbox was full", &self.outbox_drops)?;
        page.counters("resyncs", "Times that a client was told to reload a room", &self.resyncs)?;
        page.counters("resumes", "Attempts to resume a session", &self.resumes)?;
        page.counter("slow_closes", "Connections closed because they did not read", &self.slow_closes)?;
        page.counter("rate_limited", "Messages refused by a token bucket", &self.rate_limited)?;
        page.named("refused", "Requests refused, by code", "code", self.refused.read())?;
        page.gauges("locks_held", "Editing locks held", &self.locks_held)?;
        page.lock_requests(self)?;
        page.spans("lock_acquire", "From a lock request's arrival to its answer", &self.lock_acquire)?;
        page.counters("edits", "Edits and what became of them", &self.edits)?;
        page.spans("edit", "The decision of one edit", &self.edit_time)?;
        page.counters("conflicts", "Conflicts found", &self.conflicts)?;
        page.counters("conflicts_settled", "Conflicts that ended", &self.conflicts_settled)?;
        page.counter(
            "conflicts_escalated",
            "Conflicts that nobody settled and that need an operator",
            &self.conflicts_escalated,
        )?;
        page.gauge("conflicts_open", "Conflicts that wait for somebody", &self.conflicts_open)?;
        let waiting = "Conflicts that wait for an operator";
        page.gauge("conflicts_waiting_for_operators", waiting, &self.conflicts_waiting_for_operators)?;
        page.counter("forecasts_made", "Forecasts of conflicts", &self.forecasts_made)?;
        page.counter("forecasts_judged", "Forecasts whose outcome is known", &self.forecasts_judged)?;
        page.gauge("forecasts_shown", "1 while forecasts beat the base rate and are shown", &self.forecasts_shown)?;
        page.counter("conflict_warnings", "Warnings of conflicts that were sent", &self.conflict_warnings)?;
        page.counters("http_requests", "HTTP requests answered", &self.http_requests)?;
        page.spans("commit", "One commit of the store", &self.commit)?;
        page.sizes("commit_batch_events", "Events in one commit", &self.commit_batch)?;
        page.counter("commit_failures", "Commits that failed", &self.commit_failures)?;
        page.spans("turn", "One turn of the hub", &self.turn)?;
        page.sizes("turn_messages", "Messages handled in one turn of the hub", &self.turn_messages)?;
        page.gauge("origin_pending", "Documents not in the origin yet", &self.origin_pending)?;
        page.counter("origin_written", "Documents written to the origin", &self.origin_written)?;
        page.counter("origin_write_failures", "Attempts to write there that failed", &self.origin_write_failures)?;
        page.counter("origin_diverged", "Documents that somebody else had changed there", &self.origin_diverged)?;
        page.spans("origin_load", "One document out of the origin", &self.origin_load)?;
        page.counter("origin_load_failures", "Documents that could not be loaded", &self.origin_load_failures)?;
        page.gauge("redis_up", "1 while Redis is used", &self.redis_up)?;
        page.counter("redis_connects", "Connections to Redis that came into use", &self.redis_connects)?;
        page.counter("redis_breaker_opens", "Times that Redis was given a rest", &self.redis_breaker_opens)?;
        page.spans("redis_call", "One question to Redis", &self.redis_call)?;
        page.counter("redis_call_failures", "Questions without a useful answer", &self.redis_call_failures)?;
        page.counter("redis_turned_away", "Questions not asked of a Redis that is down", &self.redis_turned_away)?;
        page.counter("redis_hits", "Values found in Redis", &self.redis_hits)?;
        page.counter("redis_misses", "Values not found in Redis, or not valid", &self.redis_misses)?;
        page.gauge("redis_outbox", "Invalidations that Redis does not know yet", &self.redis_outbox)?;
        page.counter("redis_bus_gaps", "Times that other nodes' messages may be missing", &self.redis_bus_gaps)?;
        page.counter("redis_bus_unread", "Other nodes' messages that could not be read", &self.redis_bus_unread)?;
        page.counter("stalls", "Times that the daemon stood still for a second or more", &self.stalls)?;
        page.gauge("fencing_token", "The largest fencing token given out", &self.fencing_token)?;
        page.gauge("store_writable", "1 while the store can commit", &self.store_writable)?;
        page.gauge("store_lost", "1 when the database's file is no longer where it was opened", &self.store_lost)?;
        page.gauge(
            "buildings_closed",
            "Buildings that stay closed because their log is damaged",
            &self.buildings_closed,
        )?;
        page.gauge("draining", "1 while clients are sent away before a stop", &self.draining)?;
        self.origins.encode(&mut page)?;
        self.cache.encode(&mut page)?;
        page.build()?;
        page.process()
    }
}

/// Writes families under the daemon's prefix.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn family(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        kind: MetricType,
        write: impl FnOnce(&mut MetricEncoder) -> fmt::Result,
    ) -> fmt::Result {
        write(&mut self.0.encode_descriptor(&format!("arxosrt_{name}"), help, unit, kind)?)
    }

    fn counter(&mut self, name: &str, help: &str, counter: &Counter) -> fmt::Result {
        self.family(name, help, None, MetricType::Counter, |out| write_counter(out, counter.get()))
    }

    fn gauge(&mut self, name: &str, help: &str, gauge: &Gauge) -> fmt::Result {
        self.family(name, help, None, MetricType::Gauge, |out| out.encode_gauge(&gauge.get()))
    }

    fn counters<L: Label, const N: usize>(&mut self, name: &str, help: &str, counters: &Counters<L, N>) -> fmt::Result {
        let read = L::ALL.iter().map(|label| (label.name(), counters.get(*label)));
        self.named(name, help, L::KEY, read)
    }

    fn gauges<L: Label, const N: usize>(&mut self, name: &str, help: &str, gauges: &Gauges<L, N>) -> fmt::Result {
        self.family(name, help, None, MetricType::Gauge, |out| {
            for label in L::ALL {
                out.encode_family(&[(L::KEY, label.name())])?.encode_gauge(&gauges.of(*label).get())?;
            }
            Ok(())
        })
    }

    pub(super) fn named<S: AsRef<str>>(
        &mut self,
        name: &str,
        help: &str,
        key: &str,
        read: impl IntoIterator<Item = (S, u64)>,
    ) -> fmt::Result {
        self.family(name, help, None, MetricType::Counter, |out| {
            for (value, n) in read {
                write_counter(&mut out.encode_family(&[(key, value.as_ref())])?, n)?;
            }
            Ok(())
        })
    }

    pub(super) fn named_gauge<'n>(
        &mut self,
        name: &str,
        help: &str,
        key: &str,
        read: impl IntoIterator<Item = (&'n str, u64)>,
    ) -> fmt::Result {
        self.family(name, help, None, MetricType::Gauge, |out| {
            for (value, n) in read {
                out.encode_family(&[(key, value)])?.encode_gauge(&n)?;
            }
            Ok(())
        })
    }

    pub(super) fn plain_gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, None, MetricType::Gauge, |out| out.encode_gauge(&value))
    }

    /// Counters by two labels.
    pub(super) fn pairs<'n>(
        &mut self,
        name: &str,
        help: &str,
        keys: [&str; 2],
        read: impl IntoIterator<Item = ([&'n str; 2], u64)>,
    ) -> fmt::Result {
        self.family(name, help, None, MetricType::Counter, |out| {
            for ([first, second], n) in read {
                write_counter(&mut out.encode_family(&[(keys[0], first), (keys[1], second)])?, n)?;
            }
            Ok(())
        })
    }

    fn lock_requests(&mut self, metrics: &Metrics) -> fmt::Result {
        let help = "Lock requests and how they ended";
        self.family("lock_requests", help, None, MetricType::Counter, |out| {
            for lock_type in arxosrt_core::lock::LockType::ALL {
                for outcome in super::LockOutcome::ALL {
                    let labels = [("type", lock_type.name()), ("outcome", outcome.name())];
                    let n = metrics.lock_requests.get(*lock_type, *outcome);
                    write_counter(&mut out.encode_family(&labels)?, n)?;
                }
            }
            Ok(())
        })
    }

    fn spans<const N: usize>(&mut self, name: &str, help: &str, histogram: &Histogram<N>) -> fmt::Result {
        self.histogram(name, help, Some(&Unit::Seconds), histogram, NANOSECONDS_PER_SECOND)
    }

    fn sizes<const N: usize>(&mut self, name: &str, help: &str, histogram: &Histogram<N>) -> fmt::Result {
        self.histogram(name, help, None, histogram, 1.0)
    }

    fn histogram<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        histogram: &Histogram<N>,
        scale: f64,
    ) -> fmt::Result {
        let read = histogram.read();
        let bounded = read.under.iter().map(|(bound, n)| (*bound as f64 / scale, *n));
        let buckets: Vec<(f64, u64)> = bounded.chain([(f64::INFINITY, read.over)]).collect();
        // The count is made from the buckets, so that it equals the last one even while the hub writes.
        let count = buckets.iter().map(|(_, n)| n).sum();
        self.family(name, help, unit, MetricType::Histogram, |out| {
            out.encode_histogram::<NoLabelSet>(read.sum as f64 / scale, count, &buckets, None)
        })
    }

    fn build(&mut self) -> fmt::Result {
        self.family("build", "What is running", None, MetricType::Info, |out| {
            out.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
        })
    }

    fn process(&mut self) -> fmt::Result {
        // These two have the names that dashboards everywhere expect, without our prefix.
        let figures = [
            ("process_resident_memory_bytes", "Resident memory size in bytes", resident_bytes()),
            ("process_open_fds", "Number of open file descriptors", open_descriptors()),
        ];
        for (name, help, figure) in figures {
            if let Some(figure) = figure {
                self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&figure)?;
            }
        }
        Ok(())
    }
}

fn write_counter(out: &mut MetricEncoder, n: u64) -> fmt::Result {
    out.encode_counter::<NoLabelSet, u64, u64>(&n, None)
}

/// The process's resident memory, where the kernel says it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// How many descriptors the process has open, where the kernel says it.
fn open_descriptors() -> Option<u64> {
    let directory = "/proc/self/fd";
    match std::fs::metadata(directory).ok()?.len() {
        // Kernels before 6.2 do not keep count. Counting holds one more open while it runs.
        0 => Some((std::fs::read_dir(directory).ok()?.count() as u64).saturating_sub(1)),
        kept => Some(kept),
    }
}
