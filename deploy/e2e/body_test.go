//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/schemas"
)

// The sizes of bodies, in bytes. Their logarithms are evenly spread: most calls are short.
const (
	leastBody = 2 << 10
	mostBody  = 200 << 10
)

// author writes webhook bodies: for the same call always the same bytes, and for each call other ones.
type author struct {
	run       string // in every call id, so that two runs share none
	providers []provider.Provider
	texts     []text // of the n-th call at n modulo their number
}

// texts is how many conversations there are. To write one for each call would take the processor from what is tested.
const texts = 60

// text is a body but for its call id.
type text struct {
	body []byte
	at   int // where the id begins
}

// sample is one provider's documented payload, and how a conversation of about size bytes is put into it.
type sample struct {
	provider, example string
	talk              func(body map[string]any, r *rand.Rand, size int)
}

var samples = []sample{
	{"altur", "full-v2", turns},
	{"cllr", "full", notes},
	{"synthflow", "full-2026", lines},
}

func newAuthor(t *testing.T) *author {
	t.Helper()
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	a := &author{run: fmt.Sprintf("%08x", r.Uint32())}
	for _, s := range samples {
		p, ok := provider.Lookup(s.provider)
		if !ok {
			t.Fatalf("no provider %s", s.provider)
		}
		a.providers = append(a.providers, p)
	}
	for i := range texts {
		spread := (float64(i*37%texts) + r.Float64()) / texts // 37: short and long ones in turn
		size := int(leastBody * math.Pow(mostBody/leastBody, spread))
		a.texts = append(a.texts, a.write(t, samples[i%len(samples)], a.providers[i%len(samples)], r, size))
	}
	return a
}

// write puts a conversation and a call id into the sample of a provider.
func (a *author) write(t *testing.T, s sample, p provider.Provider, r *rand.Rand, size int) text {
	t.Helper()
	example, err := schemas.FS.ReadFile("provider/" + s.provider + "/" + s.example + ".example.json")
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(example, &body); err != nil {
		t.Fatal(err)
	}
	if size < 3*leastBody {
		delete(body, "executed_actions") // what synthflow sends of a short call
		delete(body, "analysis")
	}
	last := len(p.IDPath) - 1
	at := body
	for _, key := range p.IDPath[:last] {
		at = at[key].(map[string]any)
	}
	at[p.IDPath[last]] = a.id(0)
	marshal := func() []byte {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	s.talk(body, r, 0)
	s.talk(body, r, size-len(marshal()))
	b := marshal()
	return text{b, bytes.Index(b, []byte(a.id(0)))}
}

// id is the n-th call's; all are of the same length.
func (a *author) id(n int) string { return fmt.Sprintf("e2e-%s-%09d", a.run, n) }

func (a *author) provider(n int) provider.Provider { return a.providers[n%len(a.providers)] }

// body is the webhook of the n-th call.
func (a *author) body(n int) []byte {
	t := a.texts[n%len(a.texts)]
	b := slices.Clone(t.body)
	copy(b[t.at:], a.id(n))
	return b
}

// What is said in calls.
var sentences = []string{
	"Good morning, am I speaking with the account holder?",
	"Yes, that is me. What is it about?",
	"I am calling about the invoice from last month, it is still open.",
	"I thought I had paid that. Could you look it up once more?",
	"Of course. One moment, please. I see two payments, both for the month before.",
	"Bueno, entonces pago el resto la próxima semana, ¿le parece?",
	"Das passt gut. Ich schicke Ihnen eine Bestätigung per SMS.",
	"Is there anything else that I can do for you today?",
	"Could you also change the address on the contract? We moved in March.",
	"I have noted the new address. You will get a letter about it.",
	"Sorry, the line is bad. Could you say the number again?",
	"Thank you very much, and have a nice day.",
}

func sentence(r *rand.Rand) string {
	return fmt.Sprintf("%s (%d)", sentences[r.IntN(len(sentences))], r.IntN(1_000_000))
}

func turns(body map[string]any, r *rand.Rand, size int) {
	said := []map[string]string{}
	for n := 0; n < size; {
		text, by := sentence(r), "assistant"
		if len(said)%2 == 1 {
			by = "user"
		}
		said = append(said, map[string]string{"sent_by": by, "sent_at": "2026-03-04T16:20:12Z", "content": text})
		n += len(text) + 68
	}
	body["transcript"] = said
}

func lines(body map[string]any, r *rand.Rand, size int) {
	var b strings.Builder
	for i := 0; b.Len() < size-size/20; i++ { // each line's end is two bytes of JSON
		who := "\nbot: "
		if i%2 == 1 {
			who = "\nhuman: "
		}
		b.WriteString(who + sentence(r))
	}
	body["call"].(map[string]any)["transcript"] = b.String()
}

func notes(body map[string]any, r *rand.Rand, size int) {
	items := []map[string]string{}
	for n := 0; n < size; {
		text := sentence(r)
		items = append(items, map[string]string{"owner": "sales", "action": text, "due": "2026-03-02"})
		n += len(text) + 50
	}
	body["callAnalysis"].(map[string]any)["actionItems"] = map[string]any{"items": items}
}
