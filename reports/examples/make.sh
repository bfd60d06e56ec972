#!/usr/bin/env bash
# Make every example of this folder. Usage: reports/examples/make.sh [OUT [NAME...]]; needs `twin` on the PATH.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-reports/examples}
shift || true
names=${*:-quickstart failed comparison density}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# keep NAME FOLDER FILE...: copy files of a result to OUT/NAME
keep() {
    local name=$1 folder=$2
    shift 2
    mkdir -p "$out/$name"
    for file in "$@"; do cp "$folder/$file" "$out/$name/$file"; done
}

# expect CODE COMMAND...: run a command quietly; any other exit code is an error
expect() {
    local expected=$1 code=0
    shift
    "$@" > "$work/log" 2>&1 || code=$?
    [ "$code" = "$expected" ] || { cat "$work/log" >&2; echo "exit code $code, expected $expected: $*" >&2; exit 1; }
}

for name in $names; do
    case $name in
        quickstart)
            expect 0 twin run scenarios/quickstart.yaml --out "$work"
            keep quickstart "$work/quickstart/0" report.html summary.json ;;
        failed)
            expect 1 twin run scenarios/retries/short-outage.yaml --set controller.retry.base=150s --out "$work"
            keep failed "$work/short-outage/0" report.html summary.json ;;
        comparison)
            expect 0 twin compare scenarios/flapping-readiness.yaml --seeds 10 --no-runs --out "$work"
            keep comparison "$work"/flapping-readiness/compare-* comparison.html comparison.json ;;
        density)
            expect 0 twin compare scenarios/density/how-many-fit.yaml --vary adapters.0.count=112,128,144 \
                --measure traffic.ttft_seconds --measure traffic.cold --measure placement.adapters_per_pod \
                --seeds 10 --no-runs --out "$work"
            keep density "$work"/how-many-fit/compare-* comparison.html comparison.json ;;
        *) echo "unknown example $name" >&2; exit 2 ;;
    esac
done
