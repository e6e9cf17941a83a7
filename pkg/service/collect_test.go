package service

import (
	"runtime"
	"testing"
)

func TestCollectRarely(t *testing.T) {
	CollectRarely()
	defer func() { unused = nil }()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if stats.NextGC < 2*unusedSize {
		t.Errorf("the collector starts at %d bytes", stats.NextGC)
	}
}
