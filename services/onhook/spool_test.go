package onhook_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/bus/bustest"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/spool"
)

// A spool that was left on a disk is listed, and drained into the broker that the configuration names.
func TestSpoolCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := spool.Open(dir, 1<<20, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"first", "second"} {
		d := &bus.Delivery{ID: id, Provider: "cllr", Source: "leads\x1b[31m", ReceivedAt: time.Now(), Auth: call.AuthToken, Body: []byte("{}")}
		if err := s.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := run(t, "spool", "list", dir); err == nil || !strings.Contains(err.Error(), "belongs to another process") {
		t.Errorf("a spool in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "spool", "list", dir)
	if err != nil || strings.Count(out, "\n") != 3 || !strings.Contains(out, "second") || strings.Contains(out, "\x1b") {
		t.Errorf("%v %q", err, out)
	}
	srv := bustest.StartServer(t)
	b := srv.Connect(t)
	if _, err := run(t, "spool", "drain", dir, "--config", writeFile(t, "nats: {replicas: 1}\n")); err == nil || !strings.Contains(err.Error(), "nats.url") {
		t.Errorf("no broker: %v", err)
	}
	file := writeFile(t, "nats: {url: \""+srv.ClientURL()+"\"}\n")
	empty := t.TempDir()
	if _, err := run(t, "spool", "drain", empty, "--config", file); err == nil || !strings.Contains(err.Error(), "holds no spool") {
		t.Errorf("no spool: %v", err)
	}
	if made, err := os.ReadDir(empty); err != nil || len(made) > 0 {
		t.Errorf("%v %v", err, made)
	}
	for _, want := range []int{2, 0} {
		out, err := run(t, "spool", "drain", dir, "--config", file, "--json")
		var got struct{ Forwarded int }
		if err != nil || json.Unmarshal([]byte(out), &got) != nil || got.Forwarded != want {
			t.Errorf("%v %s, want %d", err, out, want)
		}
	}
	streams, err := b.Streams(t.Context())
	if err != nil || streams[0].Messages != 2 {
		t.Errorf("%v %+v", err, streams)
	}
	if out, err := run(t, "spool", "list", dir, "--json"); err != nil || out != "[]\n" {
		t.Errorf("%v %q", err, out)
	}
}

// The broker goes away under `onhook run`: calls are taken, the process stays ready, and they are stored when it is back.
func TestRunWithASpool(t *testing.T) {
	t.Parallel()
	srv := bustest.StartServer(t)
	data := t.TempDir()
	file := writeFile(t, "nats: {url: \""+srv.ClientURL()+"\", durability: fsync}\n"+
		"ingress: {spool: {dir: \""+filepath.Join(data, "spool")+"\"}}\n"+
		"sources: {altur: {provider: altur, secrets: [dev-secret]}}\n")
	p := start(t, data, "127.0.0.1:0", "127.0.0.1:0", "--config", file)
	srv.Stop()
	if got := p.post("altur", example(t, "altur", "documented-v2")); got != http.StatusOK {
		t.Fatal(got)
	}
	if n := p.metric("onhook_spool_deliveries"); n != 1 {
		t.Errorf("%v in the spool", n)
	}
	resp, err := http.Get("http://" + p.admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	state, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("not ready, though there is room in the spool: %v %d %s", err, resp.StatusCode, state)
	}
	if !strings.Contains(string(state), `"note":"the broker is away; deliveries are spooled: `) {
		t.Errorf("nothing of the outage: %s", state)
	}
	srv.Start(t)
	waitFor(t, "the call", func() bool { return len(p.calls()) == 1 })
	if status := p.stop(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// The data folder was given for the spool too, and the error named another process, which there was not.
func TestTheDataFolderIsNoSpool(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(data, link); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(data, "not", "there", "yet")
	for _, c := range []struct{ data, dir string }{{data, data}, {data, data + "/./"}, {data, link}, {fresh, fresh}} {
		file := writeFile(t, "ingress: {spool: {dir: \""+c.dir+"\"}}\nsources: {altur: {provider: altur, secrets: [dev-secret]}}\n")
		_, err := run(t, "run", "--config", file, "--data", c.data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
		if err == nil || !strings.Contains(err.Error(), "ingress.spool.dir is the data folder") || strings.Contains(err.Error(), "another process") {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// Draining into a full stream went on for ever without a word.
func TestSpoolDrainIntoAFullStreamSaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := spool.Open(dir, 1<<20, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	d := &bus.Delivery{ID: "first", Provider: "cllr", Source: "leads", ReceivedAt: time.Now(), Auth: call.AuthToken, Body: []byte("{}")}
	if err := errors.Join(s.Append(t.Context(), d), s.Close()); err != nil {
		t.Fatal(err)
	}
	srv := bustest.StartServer(t)
	srv.Connect(t)
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "WEBHOOKS")
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxBytes = 1
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	_, err = run(t, "spool", "drain", dir, "--config", writeFile(t, "nats: {url: \""+srv.ClientURL()+"\"}\n"))
	if err == nil || !strings.Contains(err.Error(), "1 deliveries are still in the spool: the stream is full") {
		t.Error(err)
	}
}
