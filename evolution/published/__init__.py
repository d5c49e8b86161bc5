"""The data folder of Jordan et al. (2021), as the authors published it, read without trust."""

from evolution.published.folder import (
    Problem,
    PublishedRun,
    PublishedTask,
    UnknownFolder,
    read_folder,
)

__all__ = ["Problem", "PublishedRun", "PublishedTask", "UnknownFolder", "read_folder"]
