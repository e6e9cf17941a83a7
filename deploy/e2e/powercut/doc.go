// Package powercut is a file system over a folder that loses at a power cut what was not synced, as a disk would, and
// whose syncs can be made slow.
//
// It models the content and the length of files: both are in memory until fsync, fdatasync or a write with O_SYNC, and
// gone at the cut. That files and folders are made, renamed and removed it writes through at once, which is kinder than
// a disk that was not told to sync the folder. A sync is whole or did not happen: no write is torn.
package powercut
