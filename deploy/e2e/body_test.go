//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
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

// author writes webhook bodies: for the same call always the same bytes.
type author struct {
	run     string // in every call id, so that two runs share none
	seed    uint64
	samples []sample
}

// sample is one provider's documented payload, its large parts apart.
type sample struct {
	provider provider.Provider
	whole    map[string]any
	talk     func(body map[string]any, r *rand.Rand, size int) // puts a conversation of about size bytes into it
}

func newAuthor(t *testing.T, run string) *author {
	t.Helper()
	a := &author{run: run, seed: rand.Uint64()}
	for _, s := range []struct {
		provider, example string
		talk              func(map[string]any, *rand.Rand, int)
	}{
		{"altur", "full-v2", turns},
		{"cllr", "full", notes},
		{"synthflow", "full-2026", lines},
	} {
		p, ok := provider.Lookup(s.provider)
		if !ok {
			t.Fatalf("no provider %s", s.provider)
		}
		b, err := schemas.FS.ReadFile("provider/" + s.provider + "/" + s.example + ".example.json")
		if err != nil {
			t.Fatal(err)
		}
		sample := sample{provider: p, talk: s.talk}
		if err := json.Unmarshal(b, &sample.whole); err != nil {
			t.Fatal(err)
		}
		a.samples = append(a.samples, sample)
	}
	return a
}

func (a *author) id(n int) string { return fmt.Sprintf("e2e-%s-%d", a.run, n) }

func (a *author) sample(n int) sample { return a.samples[n%len(a.samples)] }

// body is the webhook of the n-th call.
func (a *author) body(n int) []byte {
	r := rand.New(rand.NewPCG(a.seed, uint64(n)))
	s := a.sample(n)
	size := int(leastBody * math.Pow(mostBody/leastBody, r.Float64()))
	body := clone(s.whole)
	if size < 3*leastBody {
		delete(body, "executed_actions") // what synthflow sends of a short call
		delete(body, "analysis")
	}
	at := body
	for _, key := range s.provider.IDPath[:len(s.provider.IDPath)-1] {
		at = at[key].(map[string]any)
	}
	at[s.provider.IDPath[len(s.provider.IDPath)-1]] = a.id(n)
	s.talk(body, r, 0)
	bare, err := json.Marshal(body)
	if err != nil {
		panic(err) // it was JSON before
	}
	s.talk(body, r, size-len(bare))
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return b
}

// clone copies the objects of a sample, not what they hold.
func clone(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		if inner, ok := v.(map[string]any); ok {
			v = clone(inner)
		}
		out[k] = v
	}
	return out
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
