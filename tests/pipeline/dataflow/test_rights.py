"""What the preflight asks Google about accounts, buckets, images and quotas."""

import logging
from collections.abc import Callable, Iterator

import pytest

from pipeline.dataflow.capacity import cores
from pipeline.dataflow.services import of_services
from tests.support import fake_cloud
from tests.support.fake_cloud import FakeCloud
from tests.support.fake_cloud.projects import WORKERS

# Flags -> (problems, notes).
Ask = Callable[..., tuple[list[str], list[str]]]
IMAGE = "--sdk_container_image=europe-west1-docker.pkg.dev/fake-project/images/worker:1"
BINDING = f"--member=serviceAccount:{WORKERS} --role=roles"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCloud]:
    with fake_cloud.serve(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def cloud(running: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    running.projects.__init__()  # type: ignore[misc]  # as it was at the start
    running.gcs.location = {"location": "EUROPE-WEST1"}
    running.gcs.policy = {"roles/storage.legacyBucketOwner": ["projectEditor:fake-project"]}
    return running


@pytest.fixture
def ask(cloud: FakeCloud, caplog: pytest.LogCaptureFixture) -> Ask:
    def ask(*flags: str) -> tuple[list[str], list[str]]:
        """(problems, notes) of a job with these flags."""
        caplog.clear()
        with caplog.at_level(logging.WARNING, "seqline.dataflow"):
            problems = list(of_services("gs://bucket/root", [*cloud.flags, *flags]))
        return problems, [message.removeprefix("Dataflow: ") for message in caplog.messages]

    return ask


def test_nothing_is_found_in_a_project_as_it_should_be(cloud: FakeCloud, ask: Ask) -> None:
    assert ask() == ([], [])
    cloud.projects.repositories["fake-project/europe-west1/images"] = {}
    assert ask(IMAGE, "--max_num_workers=8") == ([], [])


def test_what_the_submitter_lacks(cloud: FakeCloud, ask: Ask) -> None:
    cloud.projects.lacks = {"dataflow.jobs.create", "dataflow.jobs.cancel"}
    cloud.projects.accounts[WORKERS] = False
    assert ask() == (
        [
            (
                "--project=fake-project: this account lacks dataflow.jobs.create,"
                " dataflow.jobs.cancel; the role dataflow.developer has them"
            ),
            (
                f"this account lacks iam.serviceAccounts.actAs on the workers' account {WORKERS}:"
                " give it the role iam.serviceAccountUser on that account"
            ),
        ],
        [],
    )
    assert ask("--service_account_email=gone@x.iam.gserviceaccount.com")[0][1:] == [
        (
            "the workers' account gone@x.iam.gserviceaccount.com does not exist: correct"
            " --service_account_email, or create it"
        )
    ]


def test_what_the_workers_are_not_given_is_said(cloud: FakeCloud, ask: Ask) -> None:
    cloud.projects.policy = {"roles/viewer": ["user:ann@example.org"]}
    cloud.projects.repositories["fake-project/europe-west1/images"] = {}
    worker = (
        f"the workers' account {WORKERS} is not given the role dataflow.worker by the project"
        " 'fake-project': gcloud projects add-iam-policy-binding fake-project"
        f" {BINDING}/dataflow.worker"
    )
    bucket = (
        f"the workers' account {WORKERS} is not given access to the bucket 'bucket': gcloud storage"
        f" buckets add-iam-policy-binding gs://bucket {BINDING}/storage.objectUser"
    )
    image = (
        f"the workers' account {WORKERS} is not given the image"
        " europe-west1-docker.pkg.dev/fake-project/images/worker:1: gcloud artifacts repositories"
        " add-iam-policy-binding images --location=europe-west1 --project=fake-project"
        f" {BINDING}/artifactregistry.reader"
    )
    assert ask(IMAGE) == ([], [worker, bucket, image])

    member = f"serviceAccount:{WORKERS}"
    cloud.projects.policy = {"roles/dataflow.worker": [member]}
    cloud.gcs.policy = {"roles/storage.objectUser": [member]}
    cloud.projects.repositories["fake-project/europe-west1/images"] = {
        "roles/artifactregistry.reader": ["allUsers"]
    }
    assert ask(IMAGE) == ([], [])
    # A role of the organization's own may have all of it.
    cloud.projects.policy = {"organizations/1/roles/workers": [member]}
    cloud.gcs.policy = {}
    assert ask(IMAGE) == ([], [])


def test_an_image_whose_repository_does_not_exist(cloud: FakeCloud, ask: Ask) -> None:
    assert ask(IMAGE) == (
        [
            (
                f"{IMAGE}: there is no repository 'images' in europe-west1 of the project"
                " 'fake-project': correct the image's name, or push it"
            )
        ],
        [],
    )


@pytest.mark.parametrize(
    ("location", "is_near"),
    [
        ({"location": "EUROPE-WEST1"}, True),
        ({"location": "EU"}, True),
        ({"location": "EU", "customPlacementConfig": {"dataLocations": ["EUROPE-WEST1"]}}, True),
        ({"location": "EUR4"}, False),
        ({"location": "US"}, False),
        ({"location": "US-CENTRAL1"}, False),
        ({}, True),
    ],
)
def test_a_bucket_in_another_region_is_said(
    cloud: FakeCloud, ask: Ask, location: dict[str, object], is_near: bool
) -> None:
    cloud.gcs.location = location
    note = (
        f"the bucket 'bucket' is in {location.get('location')}, the workers in europe-west1: what"
        " they read and write crosses regions, which is slow and charged for; use a bucket in the"
        " workers' region, or --region of the bucket"
    )
    assert ask() == ([], [] if is_near else [note])


def test_quotas(cloud: FakeCloud, ask: Ask) -> None:
    flags = ("--machine_type=n2-standard-8", "--max_num_workers=5", "--disk_size_gb=1000")
    addresses = ("IN_USE_ADDRESSES", (2.0, 0.0))
    cloud.projects.quotas["europe-west1"] |= {"N2_CPUS": (16.0, 10.0), addresses[0]: addresses[1]}
    way_out = "ask for more in the console (IAM & Admin, Quotas), or take another region"
    assert ask(*flags) == (
        [
            (
                "the quota N2_CPUS of europe-west1 has 6 left of 16, and each worker takes 8 CPUs:"
                f" not one fits; {way_out}"
            )
        ],
        [
            (
                "the quota DISKS_TOTAL_GB of europe-west1 has 4000 left of 4096, and each worker"
                f" takes 1000 GB of disk: 4 of 5 workers fit; {way_out}, or --max_num_workers=4"
            ),
            (
                "the quota IN_USE_ADDRESSES of europe-west1 has 2 left of 2, and each worker takes"
                f" 1 address: 2 of 5 workers fit; {way_out}, or --max_num_workers=2"
            ),
        ],
    )
    assert ask("--no_use_public_ips", "--max_num_workers=20") == ([], [])
    assert ask("--worker_region=moon-west1")[0] == [
        "--region=moon-west1 is no region of Google Cloud: `gcloud compute regions list` has them"
    ]


def test_workers_without_public_addresses_need_private_google_access(
    cloud: FakeCloud, ask: Ask
) -> None:
    cloud.projects.subnetworks = {"europe-west1/mine": False, "europe-west1/good": True}
    flag = "--no_use_public_ips"
    assert ask(flag, "--subnetwork=regions/europe-west1/subnetworks/good") == ([], [])
    assert ask(flag, "--subnetwork=regions/europe-west1/subnetworks/mine")[0] == [
        (
            "--no_use_public_ips: the subnetwork 'mine' has no Private Google Access, so that its"
            " workers cannot reach Dataflow and the buckets: gcloud compute networks subnets update"
            " mine --region=europe-west1 --enable-private-ip-google-access"
        )
    ]
    assert ask(flag)[0] == [
        (
            "there is no subnetwork 'default' in europe-west1: name the workers' by"
            " --subnetwork=regions/europe-west1/subnetworks/NAME"
        )
    ]
    assert ask(flag, "--subnetwork=mine")[0] == [
        "--subnetwork=mine is not of the form regions/europe-west1/subnetworks/NAME"
    ]


def test_what_may_not_be_asked_is_no_failure_and_is_said(cloud: FakeCloud, ask: Ask) -> None:
    cloud.projects.denied = ["."]
    not_checked = "not checked, as this account may not ask: "
    assert ask() == (
        [],
        [
            not_checked + "this account's rights in the project, the workers' account, the quotas"
            " of europe-west1"
        ],
    )
    cloud.projects.denied = ["getIamPolicy", "serviceAccounts"]
    assert ask() == (
        [],
        [
            not_checked + "whether this account may act as the workers', the roles of the workers'"
            " account"
        ],
    )
    assert ask("--impersonate_service_account=a@b")[1] == [
        not_checked + "the rights of the impersonated account"
    ]


def test_the_cores_of_a_machine_type() -> None:
    types = {
        "n1-standard-1": 1,
        "e2-standard-8": 8,
        "n2-custom-6-3072": 6,
        "e2-medium": 2,
        "a2-highgpu-1g": 1,
        "nobody-knows": 1,
    }
    assert {name: cores(name) for name in types} == types
