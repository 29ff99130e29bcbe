"""The artifacts of a pipeline and the records of its runs, in a local folder or in a bucket."""

from pipeline.store.folder import Store
from seqline.storage.files import is_remote

__all__ = ["Store", "open_store"]


def open_store(root: str) -> Store:
    """The store of a local folder, or of a place in a bucket.

    Raises:
        UserError: the root is neither.
    """
    if not is_remote(root):
        return Store(root)
    from pipeline.store.bucket import BucketStore

    return BucketStore(root)
