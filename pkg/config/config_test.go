package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onhook/onhook/pkg/config"
)

// nats and source stand for the structs that packages own.
type nats struct {
	URL      string        `yaml:"url"`
	Creds    string        `yaml:"creds_file"`
	Replicas int           `yaml:"replicas"`
	Sync     bool          `yaml:"sync"`
	Timeout  time.Duration `yaml:"timeout"`
	MaxStore config.Size   `yaml:"max_store"`
	Ratio    float64       `yaml:"ratio"`
	Small    int8          `yaml:"small"`
	Count    uint          `yaml:"count"`
	Servers  []string      `yaml:"servers"`
	Level    level         `yaml:"level"`
	Headers  map[string]string
	hidden   string
	limits   `yaml:",inline"`
	TLS      *tls `yaml:"tls"`
}

type limits struct {
	MaxBody config.Size `yaml:"max_body"`
}

type tls struct {
	CA string `yaml:"ca"`
}

// level is a type that reads itself.
type level string

func (l *level) UnmarshalText(text []byte) error {
	if *l = level(text); *l != "low" && *l != "high" {
		return fmt.Errorf("level %q is neither low nor high", text)
	}
	return nil
}

type source struct {
	Provider string         `yaml:"provider"`
	Secrets  config.Secrets `yaml:"secrets"`
	Token    config.Secret  `yaml:"token"`
	Rate     *int           `yaml:"rate"`
}

type sources map[string]source

var errNoProvider = errors.New("provider is missing")

func (s sources) Validate() error {
	var errs []error
	for _, name := range []string{"a", "b", "c"} {
		if src, ok := s[name]; ok && src.Provider == "" {
			errs = append(errs, config.At(config.At(errNoProvider, "provider"), name))
		}
	}
	return errors.Join(errs...)
}

func defaults() nats {
	return nats{URL: "nats://localhost", Replicas: 1, Timeout: time.Second, Servers: []string{"one"}, hidden: "kept"}
}

func TestSection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		yaml string
		want func(*nats)
	}{
		"no file":                   {"", func(*nats) {}},
		"only comments":             {"# nothing yet\n", func(*nats) {}},
		"an empty document":         {"---\n", func(*nats) {}},
		"another section":           {"log: {level: info}\n", func(*nats) {}},
		"a null section":            {"nats:\n", func(*nats) {}},
		"an empty section":          {"nats: {}\n", func(*nats) {}},
		"a null key keeps default":  {"nats:\n  url: ~\n  servers:\n", func(*nats) {}},
		"one key keeps the others":  {"nats: {replicas: 3}\n", func(n *nats) { n.Replicas = 3 }},
		"a list replaces":           {"nats: {servers: [a, b]}\n", func(n *nats) { n.Servers = []string{"a", "b"} }},
		"byte order mark and CRLF":  {"\ufeffnats:\r\n  url: x\r\n  replicas: 5\r\n", func(n *nats) { n.URL, n.Replicas = "x", 5 }},
		"durations and sizes":       {"nats: {timeout: 1m30s, max_store: 10GiB}\n", func(n *nats) { n.Timeout, n.MaxStore = 90*time.Second, 10<<30 }},
		"days":                      {"nats: {timeout: 14d}\n", func(n *nats) { n.Timeout = 14 * 24 * time.Hour }},
		"numbers":                   {"nats: {ratio: 0.25, small: -128, count: 7, sync: True}\n", func(n *nats) { n.Ratio, n.Small, n.Count, n.Sync = 0.25, -128, 7, true }},
		"a number as text":          {"nats: {url: 0123}\n", func(n *nats) { n.URL = "0123" }},
		"text that reads itself":    {"nats: {level: high}\n", func(n *nats) { n.Level = "high" }},
		"inline":                    {"nats: {max_body: 1MiB}\n", func(n *nats) { n.MaxBody = 1 << 20 }},
		"pointer to a struct":       {"nats: {tls: {ca: x}}\n", func(n *nats) { n.TLS = &tls{CA: "x"} }},
		"block scalar":              {"nats:\n  url: |\n    a\n    b\n  replicas: 2\n", func(n *nats) { n.URL, n.Replicas = "a\nb\n", 2 }},
		"anchor and alias":          {"log: &l [a, b]\nnats: {servers: *l}\n", func(n *nats) { n.Servers = []string{"a", "b"} }},
		"merge, own keys win":       {"log: &l {url: a, replicas: 9}\nnats: {<<: *l, url: b}\n", func(n *nats) { n.URL, n.Replicas = "b", 9 }},
		"merge of many, first wins": {"log: {a: &a {url: a}, b: &b {url: b, ratio: 2}}\nnats:\n  <<: [*a, *b]\n", func(n *nats) { n.URL, n.Ratio = "a", 2 }},
		"number from environment":   {"nats:\n  replicas: ${TEST_REPLICAS}\n", func(n *nats) { n.Replicas = 3 }},
		"the same, in braces":       {`nats: {replicas: "${TEST_REPLICAS}", sync: "${TEST_TRUE}"}`, func(n *nats) { n.Replicas, n.Sync = 3, true }},
		"units from environment":    {"nats:\n  timeout: ${TEST_TIMEOUT}\n  max_store: ${TEST_SIZE}\n", func(n *nats) { n.Timeout, n.MaxStore = 8*time.Second, 8<<20 }},
		"inside text, twice":        {"nats:\n  url: nats://${TEST_REPLICAS}-${test_lower_1}:1\n", func(n *nats) { n.URL = "nats://3-lower:1" }},
		"empty variable":            {"nats:\n  url: ${TEST_EMPTY}\n", func(n *nats) { n.URL = "" }},
		"a variable cannot inject":  {"nats:\n  url: ${TEST_YAML}\n", func(n *nats) { n.URL = "a\nreplicas: 7 # ${TEST_SECRET}" }},
		"in a block scalar":         {"nats:\n  url: >\n    ${TEST_REPLICAS}\n", func(n *nats) { n.URL = "3\n" }},
		"literal ${":                {"nats:\n  url: $${TEST_REPLICAS} $5 $$ ${TEST_REPLICAS}\n", func(n *nats) { n.URL = "${TEST_REPLICAS} $5 $$ 3" }},
		"unset in another section":  {"log: {level: \"${TEST_UNSET}\"}\nnats: {url: x}\n", func(n *nats) { n.URL = "x" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := config.Parse("onhook.yaml", []byte(c.yaml))
			if err != nil {
				t.Fatal(err)
			}
			got, want := defaults(), defaults()
			c.want(&want)
			if err := f.Section("nats", &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(nats{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSourcesAndSecrets(t *testing.T) {
	t.Parallel()
	f, err := config.Parse("onhook.yaml", []byte(`
sources:
  a: {provider: altur, secrets: "${TEST_SECRET}", rate: 5}
  b: {provider: cllr, secrets: [new, old], token: t}
  empty:
`))
	if err != nil {
		t.Fatal(err)
	}
	got := sources{"default": {Provider: "gone"}} // a mapping takes the place of the default
	if err := f.Section("sources", &got); err != nil {
		t.Fatal(err)
	}
	five := 5
	want := sources{
		"a":     {Provider: "altur", Secrets: config.Secrets{config.Secret(hunter2)}, Rate: &five},
		"b":     {Provider: "cllr", Secrets: config.Secrets{"new", "old"}, Token: "t"},
		"empty": {},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"new", "old"}, got["b"].Secrets.Reveal()); diff != "" {
		t.Error(diff)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	const there = "there are admin, crm, decoder, ingress, log, nats, ops, sources, storage"
	for name, c := range map[string]struct{ yaml, want string }{
		"unknown key in a mapping": {"sources:\n  collections-mx:\n    provder: altur\n", `onhook.yaml:3: unknown key "provder" in sources.collections-mx; did you mean "provider"?`},
		"swapped letters":          {"sources: {a: {secrtes: x}}", `onhook.yaml:1: unknown key "secrtes" in sources.a; did you mean "secrets"?`},
		"swapped in a short key":   {"nats: {ulr: x}", `onhook.yaml:1: unknown key "ulr" in nats; did you mean "url"?`},
		"upper case":               {"sources: {a: {Token: x}}", `onhook.yaml:1: unknown key "Token" in sources.a; did you mean "token"?`},
		"nothing near":             {"sources: {a: {colour: x}}", `onhook.yaml:1: unknown key "colour" in sources.a; there are provider, rate, secrets, token`},
		"key without a tag":        {"nats: {headers: {}}", `onhook.yaml:1: unknown key "headers" in nats; there are count, creds_file, level, max_body, max_store, ratio, replicas, servers, small, sync, timeout, tls, url`},
		"deeper":                   {"nats:\n  tls:\n    cb: x\n", `onhook.yaml:3: unknown key "cb" in nats.tls; did you mean "ca"?`},
		"unknown section":          {"\nnatz: {}\n", `onhook.yaml:2: unknown section "natz"; did you mean "nats"?`},
		"unknown section, far":     {"kafka: {}\n", `onhook.yaml:1: unknown section "kafka"; ` + there},
		"control characters":       {"\"a\\u0007\": 1\n", `onhook.yaml:1: unknown section "a\a"; ` + there},
		"long key":                 {strings.Repeat("k", 100) + ": 1\n", `onhook.yaml:1: unknown section "` + strings.Repeat("k", 64) + `…"; ` + there},
		"several at once":          {"nats:\n  replicas: three\n  uri: x\n", "onhook.yaml:2: nats.replicas: want a whole number (64 bits)\nonhook.yaml:3: unknown key \"uri\" in nats; did you mean \"url\"?"},
		"duplicate key":            {"nats:\n  url: a\n  replicas: 1\n  url: b\n", `onhook.yaml:4: key "url" is given twice, first on line 2`},
		"duplicate section":        {"nats: {}\nlog: {}\nnats: {}\n", `onhook.yaml:3: key "nats" is given twice, first on line 1`},
		"duplicate unread":         {"log: {a: {b: 1, b: 2}}\n", `onhook.yaml:1: key "b" is given twice, first on line 1`},
		"section is a list":        {"nats: [a]\n", `onhook.yaml:1: nats: want a mapping, got a list`},
		"section is text":          {"nats: x\n", `onhook.yaml:1: nats: want a mapping, got a single value`},
		"list for text":            {"nats:\n  url: [a]\n", `onhook.yaml:2: nats.url: want text, got a list`},
		"text for a list":          {"nats:\n  servers: a\n", `onhook.yaml:2: nats.servers: want a list, got a single value`},
		"null in a list":           {"nats:\n  servers:\n    - a\n    -\n", `onhook.yaml:4: nats.servers[1]: this item of the list is empty`},
		"mapping in a list":        {"nats:\n  servers:\n    - a: 1\n", `onhook.yaml:3: nats.servers[0]: want text, got a mapping`},
		"bool":                     {"nats: {sync: yes}\n", `onhook.yaml:1: nats.sync: want true or false`},
		"too large":                {"nats: {small: 128}\n", `onhook.yaml:1: nats.small: want a whole number (8 bits)`},
		"negative":                 {"nats: {count: -1}\n", `onhook.yaml:1: nats.count: want a whole number from 0 (64 bits)`},
		"fraction":                 {"nats: {replicas: 1.5}\n", `onhook.yaml:1: nats.replicas: want a whole number (64 bits)`},
		"infinite":                 {"nats: {ratio: inf}\n", `onhook.yaml:1: nats.ratio: want a number`},
		"duration without unit":    {"nats: {timeout: 8}\n", `onhook.yaml:1: nats.timeout: want a duration such as 8s, 1m30s or 14d`},
		"size with a space":        {"nats: {max_store: 8 MiB}\n", `onhook.yaml:1: nats.max_store: want a size such as 8MiB, 512KiB, 1GB or a number of bytes`},
		"size is a mapping":        {"nats: {max_store: {a: 1}}\n", `onhook.yaml:1: nats.max_store: want a size such as 8MiB, 512KiB, 1GB or a number of bytes, got a mapping`},
		"text that reads itself":   {"nats: {level: middle}\n", `onhook.yaml:1: nats.level: level "middle" is neither low nor high`},
		"its list":                 {"nats: {level: [low]}\n", `onhook.yaml:1: nats.level: want text, got a list`},
		"empty secret":             {"sources: {a: {secrets: \"\"}}\n", `onhook.yaml:1: sources.a.secrets: want a secret that is not empty`},
		"empty secret of many":     {"sources: {a: {secrets: [a, \"\"]}}\n", `onhook.yaml:1: sources.a.secrets[1]: want a secret that is not empty`},
		"empty secret from env":    {"sources: {a: {token: \"${TEST_EMPTY}\"}}\n", `onhook.yaml:1: sources.a.token: want a secret that is not empty (the value comes from ${TEST_EMPTY})`},
		"secret is a mapping":      {"sources: {a: {token: {x: y}}}\n", `onhook.yaml:1: sources.a.token: want a secret that is not empty, got a mapping`},
		"unset":                    {"nats:\n  url: ${TEST_UNSET}\n", `onhook.yaml:2: nats.url: environment variable TEST_UNSET is not set`},
		"unset secret":             {"sources:\n  a:\n    secrets:\n      - x\n      - ${TEST_UNSET}\n", `onhook.yaml:5: sources.a.secrets[1]: environment variable TEST_UNSET is not set`},
		"no name":                  {"nats: {url: \"${}\"}\n", `onhook.yaml:1: nats.url: ${ wants the name of an environment variable and a }; write $${ for a literal ${`},
		"not closed":               {"nats: {url: \"${TEST_SECRET\"}\n", `onhook.yaml:1: nats.url: ${ wants the name of an environment variable and a }; write $${ for a literal ${`},
		"no shell":                 {"nats: {url: \"${TEST_UNSET:-x}\"}\n", `onhook.yaml:1: nats.url: ${ wants the name of an environment variable and a }; write $${ for a literal ${`},
		"env value of wrong type":  {"nats:\n  replicas: ${TEST_SECRET}\n", `onhook.yaml:2: nats.replicas: want a whole number (64 bits) (the value comes from ${TEST_SECRET})`},
		"env that reads itself":    {"nats:\n  level: ${TEST_SECRET}\n", `onhook.yaml:2: nats.level: not a valid value (the value comes from ${TEST_SECRET})`},
		"variable not quoted":      {"nats: {replicas: ${TEST_REPLICAS}}\n", `onhook.yaml:1: not valid YAML: ',' or '}' must be specified; inside { } and [ ] a variable wants quotes: "${NAME}"`},
		"tab":                      {"nats:\n\turl: x\n", `onhook.yaml:2: not valid YAML: a tab where spaces are wanted; indent with spaces`},
		"not closed quote":         {"nats:\n  url: \"hunter2\n", `onhook.yaml:2: not valid YAML: could not find end character of double-quoted text`},
		"two documents":            {"nats: {}\n---\nlog: {}\n", `onhook.yaml:3: a second YAML document begins here; put everything into one`},
		"directive":                {"%YAML 1.2\n---\nlog: {}\n", `onhook.yaml:1: YAML directives are not supported; leave out the line that begins with %`},
		"top is a list":            {"- nats\n", `onhook.yaml:1: the file holds a list; want a mapping of sections: admin, crm, decoder, ingress, log, nats, ops, sources, storage`},
		"not UTF-8":                {"nats:\n  url: \"\xff\"\n", `onhook.yaml:2: the file is not UTF-8 text; save it as UTF-8`},
		"alias without anchor":     {"nats: *base\n", `onhook.yaml:1: alias *base has no anchor &base before it`},
		"alias of itself":          {"nats: &a {tls: *a}\n", `onhook.yaml:1: alias *a has no anchor &a before it`},
		"merge of text":            {"nats: {<<: x}\n", `onhook.yaml:1: << wants a mapping to merge`},
		"tag":                      {"nats: {url: !!str 3}\n", `onhook.yaml:1: YAML tags such as !!str are not supported; quote the value if it is text`},
		"complex key":              {"? a\n: b\n", `onhook.yaml:1: a key must be text`},
		"Validate, with keys":      {"sources:\n  a:\n    provider: x\n  b:\n    provider: \"\"\n  c:\n    token: x\n", "onhook.yaml:5: sources.b.provider: provider is missing\nonhook.yaml:6: sources.c.provider: provider is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := config.Parse("onhook.yaml", []byte(c.yaml))
			if err == nil {
				n, s := defaults(), sources{}
				err = errors.Join(f.Section("nats", &n), f.Section("sources", &s))
			}
			if err == nil {
				t.Fatalf("no error, want %s", c.want)
			}
			if err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
			if _, ok := errors.AsType[*config.Error](err); !ok {
				t.Errorf("%T is no *config.Error", err)
			}
		})
	}
}

// checked has a Validate that always finds something.
type checked struct {
	DSN config.Secret `yaml:"dsn"`
}

var errNoDSN = errors.New("dsn is missing")

func (*checked) Validate() error { return errNoDSN }

func TestValidateIsCalledWhateverTheFileHolds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file func() (*config.File, error)
		want string
	}{
		"no file":        {func() (*config.File, error) { return config.Empty(), nil }, "storage: dsn is missing"},
		"absent section": {func() (*config.File, error) { return config.Parse("onhook.yaml", nil) }, "onhook.yaml: storage: dsn is missing"},
		"section": {func() (*config.File, error) {
			return config.Parse("onhook.yaml", []byte("log: {}\nstorage: {dsn: x}"))
		}, "onhook.yaml:2: storage: dsn is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := c.file()
			if err != nil {
				t.Fatal(err)
			}
			err = f.Section("storage", &checked{})
			if err == nil || err.Error() != c.want || !errors.Is(err, errNoDSN) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	f, err := config.Parse("onhook.yaml", []byte("nats: {url: x}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var nowhere *nats
	var odd struct {
		URL chan int `yaml:"url"`
	}
	for name, err := range map[string]error{
		`config: "kafka" is not in the table of sections`:                                        f.Section("kafka", &nats{}),
		`config: section nats is decoded into config_test.nats, want a pointer`:                  f.Section("nats", nats{}),
		`config: section nats is decoded into *config_test.nats, want a pointer`:                 f.Section("nats", nowhere),
		`onhook.yaml:1: nats.url: want nothing: chan int is a type that config cannot decode`:    f.Section("nats", &odd),
		`cannot read secret file ` + filepath.Join("no", "such") + `: no such file or directory`: second(config.ReadSecretFile(filepath.Join("no", "such"))),
		`no/such.yaml: cannot read the configuration: no such file or directory`:                 second(config.Load("no/such.yaml")),
		`set the secret or the file that holds it, not both`:                                     second(config.Secrets{"a"}.OrFile("b")),
		`token: ` + errNoDSN.Error():                                                             config.At(errNoDSN, "token"),
	} {
		if err == nil || err.Error() != name {
			t.Errorf("got %v, want %s", err, name)
		}
	}
	if _, err := config.Load("no/such.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	if config.At(nil, "x") != nil {
		t.Error("At(nil) is an error")
	}
}

func second[T any](_ T, err error) error { return err }

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "onhook.yaml")
	if err := os.WriteFile(path, []byte("nats: {url: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var got nats
	if err := f.Section("nats", &got); err != nil || got.URL != "x" {
		t.Errorf("url %q, %v", got.URL, err)
	}
}

// FuzzSection looks for panics, and for values of the environment in errors.
func FuzzSection(f *testing.F) {
	for _, seed := range []string{
		"nats:\n  replicas: ${TEST_SECRET}\n  url: $${x}\n  level: ${TEST_SECRET}\n  servers: [${TEST_SECRET}]\n",
		"sources: &s {a: {provider: altur, secrets: [\"${TEST_SECRET}\"], token: \"${TEST_SECRET}\"}}\nnats: *s\n",
		"nats: {<<: &a {timeout: 1d12h, max_store: 8MiB}, tls: {ca: |\n  x}}\n", "? a\n: b\n", "%YAML 1.2\n---\n", "log: !!x [&a , *a]\n...\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := config.Parse("onhook.yaml", data)
		if err == nil {
			n, s := defaults(), sources{}
			err = errors.Join(file.Section("nats", &n), file.Section("sources", &s), file.Section("log", &map[string][]string{}))
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") && !strings.Contains(string(data), "hunter2") {
			t.Errorf("a value of the environment is in the error: %v", err)
		}
	})
}

func TestSizeAndJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0", "1": "1", "1000": "1KB", "1024": "1KiB", "1500": "1500", "8MiB": "8MiB", "8192KiB": "8MiB", "1GB": "1GB", "1000MB": "1GB",
		"1500MB": "1500MB", "3TiB": "3TiB", "2TB": "2TB", "12B": "12", "1048577": "1048577", "9223372036854775807": "9223372036854775807",
	} {
		s, err := config.ParseSize(text)
		if err != nil || s.String() != want {
			t.Errorf("%s: got %s, %v, want %s", text, s, err, want)
		}
		again, err := config.ParseSize(s.String())
		if err != nil || again != s {
			t.Errorf("%s: %s is read back as %d, %v, not %d", text, s, again, err, s)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "1 MiB", "1mib", "1M", "1KBB", "1iB", "9223372036854775808", "8388608TiB", "0x10", "١"} {
		if s, err := config.ParseSize(text); err == nil {
			t.Errorf("%q is read as %d", text, s)
		}
	}
	out, err := json.Marshal(map[string]config.Size{"a": 8 << 20})
	if err != nil || string(out) != `{"a":"8MiB"}` {
		t.Errorf("%s, %v", out, err)
	}
	var back map[string]config.Size
	if err := json.Unmarshal(out, &back); err != nil || back["a"] != 8<<20 {
		t.Errorf("%v, %v", back, err)
	}
}
