//go:build linux

package e2e

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	_ "modernc.org/sqlite"             // the driver sqlite
)

// status is what the operator's API says of the streams and consumers.
type status struct {
	Streams []struct {
		Name     string
		Messages int
	}
	Consumers []struct {
		Name    string
		Pending int
		Dead    int
	}
}

// check waits until the pipeline is empty and compares what got 200 with what is stored. What is wrong goes into r, which
// decides at its end.
func check(t *testing.T, in *installation, l *load, r *result) {
	t.Helper()
	l.stop()
	in.awaitReady()
	var s status
	drained := time.Now()
	drain := patience
	if r.Form == "long" {
		drain = 20 * time.Minute // an overload leaves much
	}
	if !within(drain, func() bool {
		for _, admin := range in.admins { // first: what is in a spool is in no stream yet
			if n, err := metric(admin, "onhook_spool_deliveries"); err != nil || n > 0 {
				return false
			}
		}
		var err error
		if s, err = in.status(); err != nil {
			return false
		}
		for _, c := range s.Consumers {
			if c.Pending > 0 {
				return false
			}
		}
		return len(s.Consumers) > 0
	}) {
		t.Fatalf("the pipeline is not empty after %s: %+v", drain, s)
	}
	r.DrainSeconds = round(time.Since(drained).Seconds())
	for _, c := range s.Consumers {
		r.Dead += c.Dead
	}
	rows, err := readCalls(in.dsn)
	if err != nil {
		t.Fatalf("read the database: %v", err)
	}
	r.compare(l, rows)
	for _, st := range s.Streams {
		if st.Name == "CALLS" && st.Messages > len(rows) { // the database would hide it: it has one row for a call
			r.Doubled += st.Messages - len(rows)
		}
	}
	for _, p := range in.all() {
		r.Ended += p.ended()
	}
}

// row is one stored call.
type row struct{ provider, id, hash string }

// readCalls reads the database by itself, past all of our own code.
func readCalls(dsn string) ([]row, error) {
	driver, query := "pgx", "SELECT provider, call_id, record->>'body_sha256' FROM calls"
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, dsn, query = "sqlite", "file:"+path+"?mode=ro&_busy_timeout=10000", "SELECT provider, call_id, json_extract(record, '$.body_sha256') FROM calls"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.provider, &r.id, &r.hash); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// compare counts what is missing, doubled or not what was sent.
func (r *result) compare(l *load, rows []row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored := make(map[string][]row, len(rows))
	for _, row := range rows {
		stored[row.id] = append(stored[row.id], row)
	}
	r.Sent, r.Duplicates, r.Calls = r.Sent+l.sent, r.Duplicates+l.doubled, r.Calls+len(l.calls)
	r.Stored += len(rows)
	for answer, n := range l.answers {
		r.Answers[answer] += n
	}
	for n, c := range l.calls {
		id := l.author.id(n)
		have := stored[id]
		delete(stored, id)
		switch {
		case c.acked && len(have) == 0:
			r.Missing++
			r.example("missing: %s %s", l.author.provider(n).Name, id)
		case len(have) > 1:
			r.Doubled++
			r.example("doubled: %s", id)
		case len(have) == 1 && (have[0].hash != hex.EncodeToString(c.hash[:]) || have[0].provider != l.author.provider(n).Name):
			r.WrongHash++
			r.example("other content: %s", id)
		}
		if c.acked {
			r.Acked++
		} else if len(have) > 0 {
			r.Unacknowledged++
		}
	}
	for id := range stored {
		r.Foreign++
		r.example("never sent: %s", id)
	}
	r.latencies(l.acks, l.refused)
	r.LoadSeconds += round(l.took.Seconds())
}

// status asks the operator's API.
func (in *installation) status() (status, error) {
	var s status
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, in.api+"/v1/status", nil)
	if err != nil {
		return s, err
	}
	req.Header.Set("Authorization", "Bearer "+opsToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("status: %s", resp.Status)
	}
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// metric is a metric's value on an admin listener, 0 where it does not have it.
func metric(admin, series string) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for text := bufio.NewScanner(resp.Body); text.Scan(); {
		if rest, ok := strings.CutPrefix(text.Text(), series+" "); ok {
			var v float64
			_, err := fmt.Sscan(rest, &v)
			return v, err
		}
	}
	return 0, nil
}
