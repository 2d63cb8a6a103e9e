//! What a page of figures says, read back the way a collector reads it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::labels::Label;
use super::*;

/// Every sample of an OpenMetrics page by its name and labels. Panics at a line that is none.
fn parse(page: &str) -> BTreeMap<String, f64> {
    let body = page.strip_suffix("# EOF\n").expect("the page ends with its mark");
    let mut samples = BTreeMap::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let keyword = comment.split(' ').next();
            assert!(matches!(keyword, Some("HELP" | "TYPE" | "UNIT")), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        let name = series.split('{').next().expect(line);
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        let earlier = samples.insert(series.to_owned(), value.parse().expect(line));
        assert!(earlier.is_none(), "twice: {line}");
    }
    samples
}

#[test]
fn every_figure_is_on_the_page_from_the_start() {
    let samples = parse(&Arc::new(Metrics::new()).text());
    for name in [
        r#"arxosrt_connections{transport="websocket"}"#,
        r#"arxosrt_connections{transport="sse"}"#,
        "arxosrt_connects_total",
        r#"arxosrt_closes_total{code="other"}"#,
        "arxosrt_rooms",
        "arxosrt_sessions",
        r#"arxosrt_messages_received_total{type="join_room"}"#,
        r#"arxosrt_messages_received_total{type="malformed"}"#,
        r#"arxosrt_deliveries_total{class="control"}"#,
        r#"arxosrt_deliveries_total{class="sequenced"}"#,
        r#"arxosrt_deliveries_total{class="latest"}"#,
        r#"arxosrt_writes_total{by="writer"}"#,
        "arxosrt_writers",
        "arxosrt_conflated_total",
        r#"arxosrt_outbox_drops_total{class="sequenced"}"#,
        r#"arxosrt_resyncs_total{reason="outbox_full"}"#,
        r#"arxosrt_resumes_total{result="recovered"}"#,
        "arxosrt_slow_closes_total",
        "arxosrt_rate_limited_total",
        r#"arxosrt_refused_total{code="other"}"#,
        r#"arxosrt_http_requests_total{status="5xx"}"#,
        r#"arxosrt_locks_held{type="floor_edit"}"#,
        r#"arxosrt_lock_requests_total{type="route_edit",outcome="queued"}"#,
        "arxosrt_lock_acquire_seconds_count",
        r#"arxosrt_commit_seconds_bucket{le="+Inf"}"#,
        r#"arxosrt_commit_batch_events_bucket{le="1.0"}"#,
        "arxosrt_commit_failures_total",
        "arxosrt_turn_seconds_sum",
        "arxosrt_turn_messages_count",
        "arxosrt_origin_pending",
        "arxosrt_origin_written_total",
        "arxosrt_origin_write_failures_total",
        "arxosrt_origin_diverged_total",
        "arxosrt_origin_load_seconds_count",
        "arxosrt_origin_load_failures_total",
        "arxosrt_redis_up",
        "arxosrt_redis_connects_total",
        "arxosrt_redis_breaker_opens_total",
        "arxosrt_redis_call_seconds_count",
        "arxosrt_redis_call_failures_total",
        "arxosrt_redis_turned_away_total",
        "arxosrt_redis_hits_total",
        "arxosrt_redis_misses_total",
        "arxosrt_redis_outbox",
        "arxosrt_redis_bus_gaps_total",
        "arxosrt_redis_bus_unread_total",
        "arxosrt_stalls_total",
        "arxosrt_fencing_token",
        "arxosrt_store_writable",
        "arxosrt_store_lost",
        "arxosrt_buildings_closed",
        "arxosrt_draining",
    ] {
        assert_eq!(samples.get(name), Some(&0.0), "{name}");
    }
    let version = concat!(r#"arxosrt_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""}"#);
    assert_eq!(samples.get(version), Some(&1.0));
    assert!(samples["process_resident_memory_bytes"] > 4096.0);
    assert!(samples["process_open_fds"] >= 3.0);
}

#[test]
fn what_was_counted_is_what_is_read() {
    let metrics = Arc::new(Metrics::new());
    metrics.connections.of(Transport::WebSocket).set(7);
    metrics.closes.inc(3008);
    metrics.deliveries.add(DeliveryClass::Latest, 1000);
    metrics.refused.inc("room_required");
    metrics.fencing_token.set((1 << 53) - 1);
    for lock_type in LockType::ALL {
        metrics.locks_held.of(*lock_type).set(lock_type.index() as u64);
        metrics.lock_requests.inc(*lock_type, LockOutcome::Held);
    }
    metrics.commit.observe_span(Duration::from_micros(300));
    metrics.commit.observe_span(Duration::from_secs(60));
    metrics.turn_messages.observe(3);

    let samples = parse(&metrics.text());
    for (name, value) in [
        (r#"arxosrt_connections{transport="websocket"}"#, 7.0),
        (r#"arxosrt_closes_total{code="3008"}"#, 1.0),
        (r#"arxosrt_deliveries_total{class="latest"}"#, 1000.0),
        (r#"arxosrt_refused_total{code="room_required"}"#, 1.0),
        ("arxosrt_fencing_token", 9_007_199_254_740_991.0),
        (r#"arxosrt_locks_held{type="analytics_view"}"#, 4.0),
        (r#"arxosrt_lock_requests_total{type="grid_calibration",outcome="held"}"#, 1.0),
        (r#"arxosrt_commit_seconds_bucket{le="0.00025"}"#, 0.0),
        (r#"arxosrt_commit_seconds_bucket{le="0.0005"}"#, 1.0),
        (r#"arxosrt_commit_seconds_bucket{le="5.0"}"#, 1.0),
        (r#"arxosrt_commit_seconds_bucket{le="+Inf"}"#, 2.0),
        ("arxosrt_commit_seconds_count", 2.0),
        ("arxosrt_commit_seconds_sum", 60.0003),
        (r#"arxosrt_turn_messages_bucket{le="4.0"}"#, 1.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}");
    }
}

#[test]
fn bounds_rise() {
    for bounds in [&HANDLING_NS[..], &COMMIT_NS, &SIZES] {
        assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
    }
}
