#!/usr/bin/env python3
"""Runs the Autobahn conformance suite against the daemon's WebSocket code.

    tests/autobahn/run.py [--cases 1.*,9.1.*] [--server PROGRAM] [--keep]

The server is the example `ws_echo` of the daemon's package, which this script builds unless `--server` names one. The
suite is a Python 2.7 program; it is installed once, into tests/.cache/autobahn. A machine without Python 2.7 cannot run
it, and then this script fails rather than pass for nothing.

The suite lets a missing close code pass. We do not: a client should hear why it was cut off, so where a code is due
(after a broken frame, text that is not UTF-8, a reserved close code) its absence is a failure.
"""

import argparse
import contextlib
import glob
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / "tests" / ".cache"
PYTHON2 = CACHE / "autobahn"
REPORTS = CACHE / "autobahn-reports"

# Compression (12, 13) is never negotiated, so there is nothing to test in it.
CASES = "1.*,2.*,3.*,4.*,5.*,6.*,7.*,9.*,10.*"

# The last one that can make environments of Python 2.7.
VIRTUALENV = "virtualenv==20.15.1"

# The whole run takes half a minute on an idle machine.
TIME_LIMIT_S = 900

PASSES = {"OK", "NON-STRICT", "INFORMATIONAL"}

# Correct, and reported as less than strict: text is checked for UTF-8 when the message is whole, not byte by byte.
NON_STRICT = {"6.4.3", "6.4.4"}

# The client sends an empty close frame, so none comes back.
NO_CODE_DUE = {"7.3.1"}


def main():
    options = arguments()
    if not suite().exists():
        install()
    server = options.server or build()
    REPORTS.mkdir(parents=True, exist_ok=True)
    with echo_server(server) as port:
        results = run_suite(port, options.cases)
    failures = judge(results)
    if not failures and not options.keep:
        shutil.rmtree(REPORTS)
    elif failures:
        print(f"what was said in each case: {REPORTS.relative_to(ROOT)}")
    return 1 if failures else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=CASES, help=f"comma-separated patterns [{CASES}]")
    parser.add_argument("--server", help="an echo server to start with ADDRESS:PORT, instead of building ours")
    parser.add_argument("--keep", action="store_true", help="keep the reports of a run without failures")
    parser.add_argument("--install", action="store_true", help="only install the suite")
    options = parser.parse_args()
    if options.install:
        if not suite().exists():
            install()
        sys.exit(0)
    return options


def suite():
    return PYTHON2 / "bin" / "wstest"


def python2():
    """Python 2.7, wherever it is: on the path, or under pyenv."""
    found = shutil.which("python2.7")
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    # A shim of pyenv is found on the path also when it leads nowhere.
    candidates = sorted(glob.glob(f"{root}/versions/2.7.*/bin/python2.7")) + ([found] if found else [])
    for candidate in candidates:
        if subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    sys.exit("the Autobahn suite needs Python 2.7: `pyenv install 2.7.18`, or put python2.7 on the path")


def install():
    print("installing the Autobahn suite", flush=True)
    old = python2()
    tools = CACHE / "virtualenv"
    # What an earlier attempt left behind would hide that it failed.
    for left in (tools, PYTHON2):
        shutil.rmtree(left, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    subprocess.run([tools / "bin" / "pip", "install", "-q", VIRTUALENV], check=True)
    subprocess.run([tools / "bin" / "virtualenv", "-q", "-p", old, PYTHON2], check=True)
    requirements = HERE / "requirements.txt"
    subprocess.run([PYTHON2 / "bin" / "pip", "install", "-q", "-r", requirements], check=True)


def build():
    subprocess.run(["cargo", "build", "-q", "-p", "arxosrtd", "--example", "ws_echo"], cwd=ROOT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return pathlib.Path(target) / "debug" / "examples" / "ws_echo"


@contextlib.contextmanager
def echo_server(program):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([program, f"127.0.0.1:{port}"])
    try:
        deadline = time.monotonic() + 10
        while True:
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{program} does not listen")
            time.sleep(0.02)
        yield port
        if process.poll() is not None:
            sys.exit(f"{program} ended during the run, with {process.returncode}")
    finally:
        process.kill()
        process.wait()


def run_suite(port, cases):
    index = REPORTS / "index.json"
    index.unlink(missing_ok=True)
    spec = REPORTS / "spec.json"
    server = {"agent": "arxosrtd", "url": f"ws://127.0.0.1:{port}/conformance", "options": {"version": 18}}
    spec.write_text(
        json.dumps({"outdir": str(REPORTS), "servers": [server], "cases": cases.split(","), "exclude-cases": []})
    )
    log = REPORTS / "wstest.log"
    with log.open("w") as out:
        # The suite writes its results at the very end, so a run that is cut short has none.
        subprocess.run(
            [suite(), "-m", "fuzzingclient", "-s", spec],
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=TIME_LIMIT_S,
        )
    if not index.exists():
        print(log.read_text(), file=sys.stderr)
        sys.exit("the suite gave no results")
    return json.loads(index.read_text())["arxosrtd"]


def number(case):
    return [int(part) for part in case.split(".")]


def judge(results):
    """Prints what happened and gives the cases that did not go as they must."""
    counts, failures = {}, []
    for case in sorted(results, key=number):
        result = results[case]
        behavior, close = result["behavior"], result["behaviorClose"]
        counts[behavior] = counts.get(behavior, 0) + 1
        complaints = []
        if behavior not in PASSES or (behavior == "NON-STRICT" and case not in NON_STRICT):
            complaints.append(f"behaviour {behavior}")
        if close not in PASSES:
            complaints.append(f"closing {close}")
        if result["remoteCloseCode"] is None and case not in NO_CODE_DUE:
            complaints.append("no close code")
        if complaints:
            failures.append(case)
            print(f"  case {case}: {', '.join(complaints)}")
    total = ", ".join(f"{count} {behavior}" for behavior, count in sorted(counts.items()))
    print(f"{len(results)} cases: {total}; {len(failures)} not as they must be")
    if not results:
        sys.exit("no case has that name")
    return failures


if __name__ == "__main__":
    sys.exit(main())
