//! Traces of a cache: which share of the accesses is answered from it?
