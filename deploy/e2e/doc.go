// Package e2e is the torture suite: real onhook processes under load, one fault at a time, and at the end a count of
// what got 200 against what is in the database. It runs on Linux, whose signals, mounts and FUSE the faults are made of.
package e2e
