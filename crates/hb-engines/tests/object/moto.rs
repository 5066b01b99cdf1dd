//! A real S3-compatible server from Python's packages.
