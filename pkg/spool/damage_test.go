package spool

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
)

// left makes a spool of deliveries and returns the file's name and content.
func left(t *testing.T, ds ...*bus.Delivery) (name string, content []byte) {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(dir, 1<<30, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		if err := s.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := spoolFile(t, dir)
	if content, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(path), content
}

// reopened has a process find content in its spool, and returns what it forwards and whether it set the file aside.
func reopened(t *testing.T, name string, content []byte) (ids []string, aside bool) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	b := &fake{}
	f := setup(t, dir, b, nil)
	waitFor(t, "the spool is drained", func() bool { return f.metric(t, "onhook_spool_deliveries") == 0 })
	f.stop()
	kept, err := os.ReadFile(path + ".damaged")
	told := f.logs.FilterLevelExact(zap.ErrorLevel).FilterField(zap.String("path", path+".damaged")).Len()
	if aside = err == nil; aside && (!bytes.Equal(kept, content) || told != 1) || !aside && told > 0 {
		t.Errorf("set aside: %v, unchanged: %v, logged %d times", aside, bytes.Equal(kept, content), told)
	}
	return b.ids(), aside
}

// Whatever part of the file is overwritten, the process starts, what can be read is forwarded, and the file is kept.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	var ds []*bus.Delivery
	for i := range 12 {
		ds = append(ds, delivery(fmt.Sprintf("%d %s", i, strings.Repeat("x", i*400))))
	}
	name, content := left(t, ds...)
	const page = 4096
	used := len(bytes.TrimRight(content, "\x00"))
	asides := 0
	for at := 0; at < used; at += page / 2 {
		damaged := bytes.Clone(content)
		for i := at; i < min(at+64, len(damaged)); i++ {
			damaged[i] ^= 0xff
		}
		ids, aside := reopened(t, name, damaged)
		if !aside && len(ids) != len(ds) {
			t.Errorf("damage at %d went unseen and cost %d deliveries", at, len(ds)-len(ids))
		}
		if len(ids) < len(ds)-2 {
			t.Errorf("damage of 64 bytes at %d cost %d deliveries", at, len(ds)-len(ids))
		}
		if aside {
			asides++
		}
	}
	if asides == 0 {
		t.Error("no damage was seen")
	}
}

func TestHalfWrittenFile(t *testing.T) {
	t.Parallel()
	var ds []*bus.Delivery
	for i := range 40 {
		ds = append(ds, delivery(fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000))))
	}
	name, content := left(t, ds...)
	used := len(bytes.TrimRight(content, "\x00"))
	most := 0
	for _, cut := range []int{0, 1, 4095, 4096, 8192, 12288, 16384, used / 4, used / 2, used / 4 * 3, used - 4096, used - 1} {
		ids, aside := reopened(t, name, content[:cut])
		if !aside && len(ids) != len(ds) {
			t.Errorf("cut at %d of %d went unseen and cost %d deliveries", cut, used, len(ds)-len(ids))
		}
		most = max(most, len(ids))
	}
	if most < len(ds)/2 {
		t.Errorf("at most %d of %d were found", most, len(ds))
	}
	for _, garbage := range [][]byte{[]byte("garbage"), bytes.Repeat([]byte{0xff}, 1<<16), make([]byte, 1<<16)} {
		if ids, aside := reopened(t, name, garbage); len(ids) > 0 || !aside {
			t.Errorf("garbage: %v %v", ids, aside)
		}
	}
	if ids, aside := reopened(t, "spool-of-mine.db", content); len(ids) > 0 || !aside {
		t.Errorf("another's file: %v %v", ids, aside)
	}
}

// A damaged file is looked through byte by byte, and a sender could have put into a body what looks like a delivery of
// another source with a proof of its own.
func TestABodyCannotForgeADelivery(t *testing.T) {
	t.Parallel()
	forged := delivery("forged")
	forged.Source = "another"
	real := delivery(strings.Repeat(string(bus.AppendRecord(nil, forged)), 20))
	other := delivery("other")
	name, content := left(t, real, other)
	i := bytes.LastIndex(content, []byte(real.ID))
	damaged := bytes.ReplaceAll(content, []byte(real.ID), []byte(strings.Repeat("x", len(real.ID))))
	if i < 0 || bytes.Equal(damaged, content) {
		t.Fatal("nothing was damaged")
	}
	ids, aside := reopened(t, name, damaged)
	if d := cmp.Diff([]string{other.ID}, ids); d != "" || !aside {
		t.Errorf("%v %s", aside, d)
	}
}

// Somebody moves the spool of a machine that died into the folder of one that lives.
func TestASecondFileIsTakenOver(t *testing.T) {
	t.Parallel()
	a, b := delivery("a"), delivery("b")
	nameA, contentA := left(t, a)
	nameB, contentB := left(t, b)
	dir := t.TempDir()
	for name, content := range map[string][]byte{nameA: contentA, nameB: contentB, nameB + ".new": []byte("half")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broker := &fake{}
	f := setup(t, dir, broker, nil)
	waitFor(t, "both are forwarded", func() bool { return f.metric(t, "onhook_spool_deliveries") == 0 })
	if ids := broker.ids(); len(ids) != 2 || ids[0] == ids[1] {
		t.Errorf("%v", ids)
	}
	spoolFile(t, dir)
	if half, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || len(half) > 0 {
		t.Errorf("%v %v", half, err)
	}
}

func TestListOfADamagedSpoolChangesNothing(t *testing.T) {
	t.Parallel()
	d := delivery("{}")
	name, content := left(t, d)
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	damaged := bytes.Clone(content)
	for _, page := range []int{0, 4096} { // both of bbolt's heads
		copy(damaged[page+16:], bytes.Repeat([]byte{0xee}, 64))
	}
	if err := os.WriteFile(path, damaged, 0o400); err != nil {
		t.Fatal(err)
	}
	held, err := List(dir)
	if err != nil || len(held) != 1 || held[0].ID != d.ID || !held[0].Damaged {
		t.Errorf("%v %+v", err, held)
	}
	after, err := os.ReadFile(path)
	entries, derr := os.ReadDir(dir)
	if err != nil || derr != nil || !bytes.Equal(after, damaged) || len(entries) != 1 {
		t.Errorf("%v %v %v", err, derr, entries)
	}
}

// An older version kept apart what the broker would not take.
func TestWhatAnOlderVersionKeptApartIsForwarded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, filePrefix+newNumber()+fileSuffix)
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	file, err := openFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{}
	err = file.db.Update(func(tx *bolt.Tx) error {
		var errs []error
		for i := range 8 { // more than one transaction takes back
			random := make([]byte, batchBytes/3)
			_, _ = rand.Read(random)
			d := delivery(string(random))
			want = append(want, d.ID)
			errs = append(errs, tx.Bucket(refusedBucket).Put(key(uint64(i+1)), file.value(d)))
		}
		return errors.Join(errs...)
	})
	if err := errors.Join(err, file.close()); err != nil {
		t.Fatal(err)
	}
	held, err := List(dir)
	if err != nil || len(held) != len(want) {
		t.Errorf("%v, %d held", err, len(held))
	}
	b := &fake{}
	f := setup(t, dir, b, nil)
	waitFor(t, "all are forwarded", func() bool { return f.metric(t, "onhook_spool_deliveries") == 0 })
	if d := cmp.Diff(want, b.ids()); d != "" {
		t.Error(d)
	}
}
