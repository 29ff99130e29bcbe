"""Where the buckets of a job are, and whether the region's quotas allow its workers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.dataflow.google_api import STORAGE, Api, MissingError, NotAskedError
from pipeline.dataflow.rights import Findings
from seqline.jobs.dataflow import option, options

# A bucket's location that is several regions -> how their names begin.
MULTI_REGIONS = {"US": "us-", "EU": "europe-", "ASIA": "asia-"}
DUAL_REGIONS = {
    "NAM4": ("US-CENTRAL1", "US-EAST1"),
    "EUR4": ("EUROPE-NORTH1", "EUROPE-WEST4"),
    "ASIA1": ("ASIA-NORTHEAST1", "ASIA-NORTHEAST2"),
}
SUBNETWORK = re.compile(
    r"(https://[^ ]+/)?(projects/(?P<project>[^/]+)/)?"
    r"regions/(?P<region>[^/]+)/subnetworks/(?P<name>[^/]+)"
)
# What a worker of a batch job has unless flags say more, and its disk where it shuffles by itself
# (https://cloud.google.com/dataflow/docs/shuffle-for-batch).
DEFAULT_MACHINE, DEFAULT_DISK_GB = "n1-standard-1", 25
SHUFFLES_BY_ITSELF, DISK_WITH_SHUFFLE_GB = "shuffle_mode=appliance", 250
SHARED_CORES = {"micro": 2, "small": 2, "medium": 2}


def look(api: Api, beam_args: Sequence[str], buckets: Sequence[str], findings: Findings) -> None:
    """Compares the buckets with the workers' region, and the workers with its quotas."""
    zone = option(beam_args, "worker_zone") or option(beam_args, "zone") or ""
    region = option(beam_args, "worker_region") or zone.rpartition("-")[0]
    region = region or option(beam_args, "region") or ""
    for bucket in buckets:
        _of_location(api, bucket, region, findings)
    _of_quotas(api, region, beam_args, findings)
    if "--no_use_public_ips" in beam_args:
        _of_subnetwork(api, region, beam_args, findings)


def _of_location(api: Api, bucket: str, region: str, findings: Findings) -> None:
    try:
        answer = api.ask(STORAGE, f"/storage/v1/b/{bucket}")
    except (NotAskedError, MissingError):
        findings.not_asked.append(f"where the bucket {bucket!r} is")
        return

    location = str(answer.get("location", "")).upper()
    placed = answer.get("customPlacementConfig", {}).get("dataLocations", [])
    places = [*placed, *DUAL_REGIONS.get(location, ()), location]
    is_near = region.upper() in places or region.startswith(MULTI_REGIONS.get(location, "\0"))
    if location and not is_near:
        findings.notes.append(
            f"the bucket {bucket!r} is in {location}, the workers in {region}: what they read and "
            "write crosses regions, which is slow and charged for; use a bucket in the workers' "
            "region, or --region of the bucket"
        )


def _of_quotas(api: Api, region: str, beam_args: Sequence[str], findings: Findings) -> None:
    project = option(beam_args, "project")
    try:
        answer = api.ask("compute", f"/compute/v1/projects/{project}/regions/{region}")
    except NotAskedError:
        findings.not_asked.append(f"the quotas of {region}")
        return
    except MissingError:
        findings.problems.append(
            f"--region={region} is no region of Google Cloud: `gcloud compute regions list` has "
            "them"
        )
        return

    quotas = {str(quota.get("metric")): quota for quota in answer.get("quotas", [])}
    num_workers = number(beam_args, "max_num_workers") or number(beam_args, "num_workers") or 1
    for metric, each, what in _needs(beam_args, quotas):
        left = quotas[metric].get("limit", 0) - quotas[metric].get("usage", 0)
        fitting = int(left // each)
        sentence = (
            f"the quota {metric} of {region} has {left:g} left of "
            f"{quotas[metric].get('limit', 0):g}, and each worker takes {each} {what}"
        )
        way_out = "ask for more in the console (IAM & Admin, Quotas), or take another region"
        if fitting < 1:
            findings.problems.append(f"{sentence}: not one fits; {way_out}")
        elif fitting < num_workers:
            findings.notes.append(
                f"{sentence}: {fitting} of {num_workers} workers fit; {way_out}, or "
                f"--max_num_workers={fitting}"
            )


def _of_subnetwork(api: Api, region: str, beam_args: Sequence[str], findings: Findings) -> None:
    """Workers without public addresses reach Google's services by their subnetwork's leave only."""
    project = option(beam_args, "project")
    given = option(beam_args, "subnetwork") or f"regions/{region}/subnetworks/default"
    place = SUBNETWORK.fullmatch(given)
    if place is None:
        findings.problems.append(
            f"--subnetwork={given} is not of the form regions/{region}/subnetworks/NAME"
        )
        return

    where, name = place["region"], place["name"]
    path = f"projects/{place['project'] or project}/regions/{where}/subnetworks/{name}"
    try:
        answer = api.ask("compute", f"/compute/v1/{path}")
    except NotAskedError:
        findings.not_asked.append(f"the subnetwork {name!r}")
    except MissingError:
        findings.problems.append(
            f"there is no subnetwork {name!r} in {where}: name the workers' by "
            f"--subnetwork=regions/{region}/subnetworks/NAME"
        )
    else:
        if not answer.get("privateIpGoogleAccess"):
            findings.problems.append(
                f"--no_use_public_ips: the subnetwork {name!r} has no Private Google Access, so "
                "that its workers cannot reach Dataflow and the buckets: gcloud compute networks "
                f"subnets update {name} --region={where} --enable-private-ip-google-access"
            )


def _needs(beam_args: Sequence[str], quotas: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """(quota, how much of it a worker takes, of what) of the quotas that are known."""
    machine = machine_type(beam_args)
    family = f"{machine.partition('-')[0].upper()}_CPUS"
    disk_type = option(beam_args, "disk_type") or option(beam_args, "worker_disk_type") or ""
    disk = "SSD_TOTAL_GB" if "pd-ssd" in disk_type else "DISKS_TOTAL_GB"
    needs = [
        (family if family in quotas else "CPUS", cores(machine), "CPUs"),
        (disk, disk_gb(beam_args), "GB of disk"),
    ]
    if "--no_use_public_ips" not in beam_args:
        needs.append(("IN_USE_ADDRESSES", 1, "address"))
    return [need for need in needs if need[0] in quotas]


def machine_type(beam_args: Sequence[str]) -> str:
    """The workers' machine type."""
    given = option(beam_args, "machine_type") or option(beam_args, "worker_machine_type")
    return (given or DEFAULT_MACHINE).rpartition("/")[2]


def disk_gb(beam_args: Sequence[str]) -> int:
    """The GB of a worker's disk."""
    given = number(beam_args, "disk_size_gb")
    experiments = ",".join(options(beam_args, "experiments")).split(",")
    default = DISK_WITH_SHUFFLE_GB if SHUFFLES_BY_ITSELF in experiments else DEFAULT_DISK_GB
    return given or default


def cores(machine_type: str) -> int:
    """The virtual CPUs of a machine type, by its name: n2-standard-4, n2-custom-6-3072."""
    custom = re.search(r"custom-(\d+)-\d+", machine_type)
    last = machine_type.rpartition("-")[2]
    if custom:
        return max(1, int(custom[1]))
    digits = re.match(r"(\d+)", last)
    return max(1, int(digits[1])) if digits else SHARED_CORES.get(last, 1)


def number(beam_args: Sequence[str], name: str) -> int:
    """The value of a flag that is a number; 0 without one."""
    value = option(beam_args, name) or ""
    return int(value) if value.isdecimal() else 0
