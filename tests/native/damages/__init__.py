"""Each damage changes an installation so that its library is unusable."""

from tests.native.damages import environments
from tests.native.damages import folders
from tests.native.damages import libraries
from tests.native.damages import manifests

DAMAGES = {
    **manifests.DAMAGES,
    **libraries.DAMAGES,
    **folders.DAMAGES,
    **environments.DAMAGES,
}
