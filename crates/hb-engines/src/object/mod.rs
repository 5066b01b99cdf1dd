//! Object stores: S3 and what speaks its language, GCS, Azure.
