//! Reading the tables beside the writer, or when none is running.
