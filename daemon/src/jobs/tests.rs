//! Jobs with a loader that does as it is told, on a clock that the tests move.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;

/// Loads by the item's name: `slow` until it is let go, `gone` never, `flaky` at the third try, `broken` panics.
#[derive(Default)]
struct Scripted {
    tries: Mutex<HashMap<String, usize>>,
    under_way: Arc<AtomicUsize>,
    most: AtomicUsize,
    let_go: Arc<Notify>,
}

struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn failed(code: &'static str, passes: bool) -> Outcome {
    Outcome::Failed(Trouble { code, message: "as scripted".into(), passes })
}

impl Loader for Scripted {
    fn load(&self, item: &Item, if_missing: bool) -> Loading {
        let Item::Floor(floor) = item else { panic!("floors only") };
        let name = floor.to_string();
        let tries = {
            let mut tries = self.tries.lock().unwrap();
            let tries = tries.entry(name.clone()).or_default();
            *tries += 1;
            *tries
        };
        self.most.fetch_max(self.under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let under_way = UnderWay(Arc::clone(&self.under_way));
        let let_go = Arc::clone(&self.let_go);
        Box::pin(async move {
            let _under_way = under_way;
            match name.split('-').next().unwrap() {
                "slow" => let_go.notified().await,
                "broken" => panic!("scripted"),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
            match name.split('-').next().unwrap() {
                "gone" => failed("not_there", false),
                "down" => failed("origin_failed", true),
                "flaky" if tries < 3 => failed("origin_failed", true),
                "there" if if_missing => Outcome::Resident,
                _ => Outcome::Loaded { entries: 4, bytes: 100 },
            }
        })
    }
}

fn jobs(loads_max: usize) -> (Arc<Scripted>, Jobs) {
    let loader = Arc::new(Scripted::default());
    (Arc::clone(&loader), Jobs::new(loader, loads_max))
}

fn order<T: AsRef<str>>(floors: &[T]) -> Order {
    Order {
        kind: Kind::Preload,
        target: "test".into(),
        by: "uid 0".into(),
        reason: None,
        items: floors.iter().map(|id| Item::Floor(RoomId::new(id.as_ref()).unwrap())).collect(),
        if_missing: true,
    }
}

fn counts(progress: Progress) -> (State, [u64; 4]) {
    let Progress { state, done, skipped, failed, cancelled, .. } = progress;
    (state, [done, skipped, failed, cancelled])
}

#[tokio::test(start_paused = true)]
async fn every_item_ends_once_and_says_how() {
    let (_, jobs) = jobs(2);
    let job = jobs.start(order(&["a", "there", "gone", "flaky", "broken"])).unwrap();
    let progress = job.wait().await;
    assert_eq!(counts(progress), (State::Done, [2, 1, 2, 0]));
    assert_eq!((progress.total, progress.bytes, progress.retrying), (5, 200, 0));
    assert!(progress.ended_at.is_some() && progress.elapsed() >= RETRY_PAUSE * 5, "two pauses of one and four");
    let (mut results, missed) = job.results(0, 100, Which::All);
    assert_eq!((results.len(), missed), (5, 0));
    assert!(results.iter().enumerate().all(|(at, kept)| kept.number == at as u64));
    results.sort_by_key(|kept| kept.result.index);
    let attempts: Vec<u32> = results.iter().map(|kept| kept.result.attempts).collect();
    assert_eq!(attempts, [1, 1, 1, 3, 1]);
    let codes: Vec<&str> = job.results(0, 100, Which::Failed).0.iter().map(|kept| code(kept)).collect();
    assert!(codes.contains(&"not_there") && codes.contains(&"internal"), "{codes:?}");
}

fn code(kept: &Kept) -> &'static str {
    match &kept.result.outcome {
        Outcome::Failed(trouble) => trouble.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_tried_three_times_and_a_job_of_nothing_else_has_failed() {
    let (loader, jobs) = jobs(4);
    let job = jobs.start(order(&["down-1", "down-2"])).unwrap();
    assert_eq!(counts(job.wait().await), (State::Failed, [0, 0, 2, 0]));
    assert_eq!(loader.tries.lock().unwrap()["down-1"], ATTEMPTS_MAX as usize);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_up_nobody_and_is_shown() {
    let (_, jobs) = jobs(1);
    let job = jobs.start(order(&["down", "a", "b"])).unwrap();
    let mut progress = job.watch();
    let seen = *progress.wait_for(|progress| progress.done == 2).await.unwrap();
    assert_eq!((seen.failed, seen.retrying, seen.state), (0, 1, State::Running));
    assert!(seen.elapsed() < RETRY_PAUSE);
    assert_eq!(counts(job.wait().await), (State::Done, [2, 0, 1, 0]));
}

#[tokio::test(start_paused = true)]
async fn all_jobs_together_load_no_more_at_once_than_they_may() {
    let (loader, jobs) = jobs(3);
    let floors: Vec<String> = (0..50).map(|n| format!("f{n}")).collect();
    let all: Vec<_> = (0..6).map(|_| jobs.start(order(&floors)).unwrap()).collect();
    for job in &all {
        assert_eq!(counts(job.wait().await), (State::Done, [50, 0, 0, 0]));
    }
    assert_eq!(loader.most.load(Ordering::SeqCst), 3);
    assert_eq!(loader.under_way.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_short_job_does_not_wait_behind_a_long_one() {
    let (_, jobs) = jobs(2);
    let floors: Vec<String> = (0..1000).map(|n| format!("f{n}")).collect();
    let long = jobs.start(order(&floors)).unwrap();
    let short = jobs.start(order(&["a", "b"])).unwrap();
    short.wait().await;
    let settled = long.progress().done;
    assert!(settled < 20, "{settled} of the long job's items came first");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_called_off_gives_up_the_rest_at_once() {
    let (loader, jobs) = jobs(2);
    let job = jobs.start(order(&["a", "slow-1", "slow-2", "b"])).unwrap();
    job.watch().wait_for(|progress| progress.done == 1).await.unwrap();
    assert!(jobs.cancel(&job));
    assert_eq!(counts(job.wait().await), (State::Cancelled, [1, 0, 0, 3]));
    assert!(!jobs.cancel(&job), "there is nothing left to call off");
    assert_eq!(loader.under_way.load(Ordering::SeqCst), 0, "no load goes on");
}

#[tokio::test(start_paused = true)]
async fn jobs_wait_for_their_turn_and_can_be_called_off_before_it() {
    let (loader, jobs) = jobs(100);
    let first: Vec<_> = (0..RUNNING_MAX).map(|_| jobs.start(order(&["slow"])).unwrap()).collect();
    let (next, last) = (jobs.start(order(&["a"])).unwrap(), jobs.start(order(&["b"])).unwrap());
    for job in &first {
        job.watch().wait_for(|progress| progress.state == State::Running).await.unwrap();
    }
    assert_eq!((next.progress().state, next.progress().started_at), (State::Queued, None));
    jobs.cancel(&last);
    assert_eq!(counts(last.wait().await), (State::Cancelled, [0, 0, 0, 1]));
    loader.let_go.notify_waiters();
    assert_eq!(counts(next.wait().await), (State::Done, [1, 0, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn what_would_be_too_much_is_refused_and_room_comes_back() {
    let (loader, jobs) = jobs(1);
    let one = Item::Floor(RoomId::new("a").unwrap());
    let many = |n: usize| Order { items: vec![one.clone(); n], ..order::<&str>(&[]) };
    assert_eq!(jobs.start(many(0)).unwrap_err(), NotTaken::Empty);
    assert_eq!(jobs.start(many(ITEMS_MAX + 1)).unwrap_err(), NotTaken::TooLarge(ITEMS_MAX + 1));
    let large: Vec<_> = (0..ITEMS_OPEN_MAX / ITEMS_MAX).map(|_| jobs.start(many(ITEMS_MAX)).unwrap()).collect();
    assert_eq!(jobs.has_room(1), Err(NotTaken::TooManyItems(ITEMS_OPEN_MAX)));
    for job in &large {
        jobs.cancel(job);
        job.wait().await;
    }
    let all: Vec<_> = (0..JOBS_OPEN_MAX).map(|_| jobs.start(order(&["slow"])).unwrap()).collect();
    assert_eq!(jobs.start(order(&["a"])).unwrap_err(), NotTaken::TooManyJobs);
    for job in &all {
        jobs.cancel(job);
        job.wait().await;
    }
    assert_eq!(jobs.has_room(ITEMS_MAX), Ok(()));
    assert_eq!(loader.under_way.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_jobs_that_are_over_are_forgotten() {
    let (_, jobs) = jobs(8);
    let open = jobs.start(order(&["slow"])).unwrap();
    let mut ids = Vec::new();
    for _ in 0..JOBS_OVER_MAX + 5 {
        let job = jobs.start(order(&["a"])).unwrap();
        job.wait().await;
        ids.push(job.id);
    }
    assert!(ids.is_sorted() && jobs.find(ids[0]).is_none() && jobs.find(ids[5]).is_some());
    assert!(jobs.find(open.id).is_some(), "a job that is not over stays");
    let latest: Vec<JobId> = jobs.latest(None, 3).iter().map(|job| job.id).collect();
    assert_eq!(latest, ids.iter().rev().take(3).copied().collect::<Vec<_>>());
    assert_eq!(jobs.latest(Some(latest[1]), 1)[0].id, latest[2]);
    assert_eq!(jobs.latest(None, usize::MAX).len(), JOBS_OVER_MAX + 1);
}

#[tokio::test(start_paused = true)]
async fn results_of_jobs_that_are_over_stay_within_their_bound() {
    let jobs = Jobs::keeping(Arc::new(Scripted::default()), 100, 250);
    let floors: Vec<String> = (0..100).map(|n| format!("gone-{n}")).collect();
    for _ in 0..5 {
        jobs.start(order(&floors)).unwrap().wait().await;
    }
    let kept: Vec<usize> = jobs.latest(None, 10).iter().map(|job| locked(&job.results).len()).collect();
    assert_eq!(kept, [100, 100]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_everything_is_called_off() {
    let (_, jobs) = jobs(1);
    let job = jobs.start(order(&["slow", "a"])).unwrap();
    jobs.end();
    assert_eq!(job.wait().await.state, State::Cancelled);
    assert_eq!(jobs.start(order(&["a"])).unwrap_err(), NotTaken::Ending);
}
