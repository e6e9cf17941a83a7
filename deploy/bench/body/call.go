package body

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// person is whom a call is with.
type person struct {
	name, phone, city, language, summary string
	began                                time.Time
}

// turn is what one side says.
type turn struct {
	agent bool
	text  string
}

var (
	firstNames = []string{"Sofía", "José", "Íñigo", "Zoë", "Jürgen", "François", "Małgorzata", "Søren", "Ángela", "Núria", "Renée", "Åse", "Luís", "Chloë", "Emre", "Marta"}
	lastNames  = []string{"Núñez Peña", "Müller-Lüdenscheidt", "García Ávila", "Łukasiewicz", "Østergård", "Lefèvre", "O’Connor", "Gonçalves", "Yılmaz", "Sánchez Ruíz", "Björk", "Čapek"}
	cities     = []string{"Ciudad de México", "München", "Łódź", "Århus", "Besançon", "São Paulo", "Málaga", "Montréal"}
	agentSays  = []string{
		"Buenos días, ¿hablo con %s? Le llamo por el saldo de %d pesos que sigue pendiente.",
		"Hello %s, this is the virtual receptionist of Summit Valley. I see an appointment on the %dth, is that right?",
		"Guten Tag %s, ich rufe wegen Ihrer Anfrage Nr. %d an. Passt es Ihnen gerade?",
		"Bonjour %s, votre échéance du %d a été reportée ; souhaitez-vous en fixer une autre ?",
		"Perfecto, %s. Entonces queda registrado su compromiso de pago por %d MXN, ¿es correcto?",
	}
	callerSays = []string{
		"Sí, soy %s. Este mes no alcancé a pagar, pero puedo dar %d el viernes.",
		"Yes, %s speaking… could we move it to the %dth? I am driving right now — sorry.",
		"Ja, hier %s. Können Sie mir das Angebot über %d € noch einmal schicken?",
		"Oui, c’est %s. J’ai déjà réglé %d euros la semaine dernière, vérifiez s’il vous plaît.",
		"No, no… \"%s\" is my brother, he owes you the %d, not me!",
	}
)

func pick(rng *rand.Rand, from []string) string { return from[rng.IntN(len(from))] }

func newPerson(rng *rand.Rand) *person {
	p := &person{
		name:     pick(rng, firstNames) + " " + pick(rng, lastNames),
		phone:    fmt.Sprintf("+5255%08d", rng.IntN(1e8)),
		city:     pick(rng, cities),
		language: pick(rng, []string{"Español", "Deutsch", "Français", "English", "Português"}),
		began:    time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC).Add(time.Duration(rng.IntN(30*24*3600)) * time.Second),
	}
	p.summary = fmt.Sprintf("%s promises to pay %d pesos and asks for a call in the afternoon.", p.name, 100+rng.IntN(9000))
	return p
}

func (p *person) say(rng *rand.Rand, n int) turn {
	if n%2 == 0 {
		return turn{true, fmt.Sprintf(pick(rng, agentSays), p.name, 1+rng.IntN(28))}
	}
	return turn{false, fmt.Sprintf(pick(rng, callerSays), p.name, 1+rng.IntN(5000))}
}

// at is the second of the call at which turn n is said.
func (p *person) at(n int) string {
	return p.began.Add(time.Duration(4*n) * time.Second).Format(time.RFC3339)
}

type object = map[string]any

// call is the provider's own form of it.
func (p *person) call(provider string, turns []turn) any {
	id, seconds := ID(0), 4*len(turns)+3
	switch provider {
	case "altur":
		var transcript []object
		for i, t := range turns {
			by := "user"
			if t.agent {
				by = "assistant"
			}
			transcript = append(transcript, object{"sent_by": by, "sent_at": p.at(i), "content": t.text})
		}
		return object{
			"event_type": "on_call_end", "id": id, "type": "outbound", "status": "ended", "answered_by": "human",
			"phone_number_from": "+525512345678", "phone_number_to": p.phone,
			"created_at": p.at(-2), "started_at": p.at(0), "ended_at": p.began.Add(time.Duration(seconds) * time.Second).Format(time.RFC3339),
			"duration": seconds, "billed_duration": seconds, "transcript": transcript,
			"assistant": object{"name": "Íñigo Ávila", "nickname": "CobranzaBot"},
			"end_user": object{"status": "converted", "display_name": p.name, "phone_number": p.phone, "context": "Deuda vencida, prefiere " + p.language,
				"extracted_data": object{"¿Pagará?": "sí", "monto_prometido": "1000"}, "tags": []string{"payment_promise"}},
		}
	case "cllr":
		var spoken []string // cllr sends no transcript: what was said is in the analysis
		for _, t := range turns {
			spoken = append(spoken, t.text)
		}
		return object{
			"callId":        id,
			"recordingUri":  "https://storage.example.com/recordings/call_recording.ogg",
			"callerDetails": object{"name": p.name, "phoneNumber": p.phone, "city": p.city, "language": p.language, "country": "MX"},
			"callAnalysis": object{"summary": p.summary, "mood": "Positive", "score": 92, "callOutcome": "Appointment Scheduled",
				"classification": "Sales Inquiry", "interestsAndNeeds": object{"primary": "pricing", "needs": []string{"demo", "CRM"}}, "keyPoints": spoken},
		}
	default:
		var transcript strings.Builder
		for _, t := range turns {
			by := "human: "
			if t.agent {
				by = "bot: "
			}
			transcript.WriteString("\n" + by + t.text)
		}
		return object{
			"status": "completed", "error_message": "",
			"lead": object{"name": p.name, "phone_number": p.phone, "prompt_variables": object{"city": p.city}},
			"call": object{"status": "completed", "end_call_reason": "human_goodbye", "model_id": "ed835bbc-6a1f-4c55-9d1a-3b4f3c1d0a11", "timezone": "Europe/Berlin",
				"call_id": id, "duration": seconds, "start_time": p.at(0), "transcript": transcript.String()},
			"executed_actions": object{"extract_info_name": object{"name": "extract_info_name", "action_type": "extract_info_action_type", "return_value": object{"name": p.name}}},
			"analysis":         object{"goal": "true", "user_sentiment": "partial", "all_feedback": p.summary},
			"collected_variables": object{
				"user_name": object{"value": p.name, "collected": true}, "appointment_date": object{"value": p.began.Format(time.DateOnly), "collected": true},
			},
		}
	}
}
