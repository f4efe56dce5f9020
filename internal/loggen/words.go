package loggen

import (
	"fmt"
	"strconv"
	"strings"
)

// The vocabulary of messages, names and free text.
var (
	nouns = strings.Fields(`account address agent alarm archive asset backend bandwidth basket batch battery beacon bridge broker
		buffer bundle cable cache calendar camera cancel carrier catalog certificate channel checkpoint checksum client clock cluster
		codec collector column command compressor connection consumer contact container contract cookie counter coupon credential cursor
		customer daemon database deadline delegate delivery descriptor device digest directory dispatcher display document domain driver
		election endpoint engine envelope epoch error event executor exporter failover feature feed fence filter firewall firmware flag
		folder frame gateway graph group handler handshake heartbeat history host index ingress inode interface interrupt inventory invoice
		job journal kernel key keyboard label latency lease ledger level library license limiter link listener lock log loop mailbox
		manifest map marker master memory merge message meter migration mirror module monitor mount mutex namespace network node notifier
		object offset operator order owner packet page parcel parser partition password patch payload payment peer permission pipeline
		plan player policy pool port power prefetch printer priority process producer profile promise protocol proxy quarantine queue quota
		range rate reactor reader receipt record recovery region registry relay replica report request reservation resolver resource
		response retry ring role rollback route router rule sandbox scanner schedule schema screen script seal search secret segment
		sensor sequence server service session shard shipment signal sink snapshot socket source stack stage state storage store stream
		subscription supervisor swap switch symbol table tape target task template tenant thread throttle ticket timer token topic trace
		tracker transaction transfer trigger tunnel update upload user vault vector version volume voucher wallet watch window worker
		writer zone`)
	verbs = strings.Fields(`accepted acquired added aligned allocated announced applied archived assigned attached balanced blocked
		bound built cached cancelled changed charged checked claimed cleared closed collected committed compacted completed compressed
		configured connected copied created deferred deleted delivered denied detached detected disabled discarded dispatched dropped
		elected emitted enabled encoded evicted exceeded expired exported failed fetched filtered finished flushed forwarded granted
		handled ignored imported initialized inserted interrupted invalidated joined killed launched linked listed loaded locked lost
		mapped marked matched merged migrated missed mounted moved notified opened parsed paused persisted pinned polled prepared
		probed promoted published pulled purged pushed queued read rebuilt received recovered refreshed refused registered rejected
		released reloaded removed renamed renewed repaired replayed reported requested reserved reset resized resolved restarted restored
		resumed retried returned revoked rotated routed saved scanned scheduled sealed selected sent shared shipped signed skipped slowed
		spilled started stopped stored submitted suspended swapped synced terminated throttled timed tracked transferred truncated
		unlocked updated upgraded uploaded validated verified waited warmed written`)
	adjectives = strings.Fields(`active ambiguous ancient annual atomic backward bad blank broken busy cold concurrent corrupt current
		daily dead default degraded detached different dirty distant double duplicate early empty exclusive existing expected explicit
		external fast final foreign fresh full generic global healthy hidden idle illegal implicit incomplete incremental initial
		internal invalid isolated large late lazy legacy local long lost low malformed manual maximum minimal missing mutable native nested
		new next noisy obsolete old open optional orphaned partial pending permanent persistent previous primary private public quick random
		rare recent redundant regular remote secondary secure shared short silent single slow small spare stale standby static strict
		sudden temporary transient unexpected unhealthy unknown unreachable unsupported unused upstream urgent valid virtual volatile warm weekly wrong`)
	places = strings.Fields(`amber basalt cedar delta ember fjord granite harbor island jade kelp lagoon maple nebula onyx prairie quartz
		reef sierra tundra umbra valley willow xenon yarrow zephyr`)
	people = strings.Fields(`ada alan barbara carl dana edsger emmy frances grace hedy ida joan katherine leslie lynn margaret niklaus
		olga peter radia robin sophie tony ursula vera wanda yukihiro zhores`)
)

// phrase appends a few words that read like a message, such as "stale lease revoked by remote broker".
func (w *world) phrase(dst []byte) []byte {
	word := func(list []string) { dst = append(append(dst, list[w.IntN(len(list))]...), ' ') }
	if w.IntN(2) == 0 {
		word(adjectives)
	}
	word(nouns)
	if w.IntN(3) == 0 {
		word(nouns)
	}
	word(verbs)
	if w.IntN(2) == 0 {
		dst = append(dst, []string{"by ", "for ", "after ", "without ", "from ", "in ", "while "}[w.IntN(7)]...)
		if w.IntN(2) == 0 {
			word(adjectives)
		}
		word(nouns)
	}
	return dst[:len(dst)-1]
}

// invent returns n templates that a program of many messages could have, of weight together, with the
// fields as the numbers and names in them. They are the same for every seed: a program doesn't change
// from run to run.
func invent(purpose uint64, n, weight int, prefix, suffix string, fields ...string) []shape {
	w := &world{Rand: rng(0, purpose)}
	sum := 0.0
	for i := range n {
		sum += 1 / float64(i+2)
	}
	out := make([]shape, n)
	for i := range out {
		b := append([]byte(prefix), w.phrase(nil)...)
		for range w.IntN(4) {
			b = append(b, []string{" ", ", ", ": ", " -> ", " = ", "=", " after "}[w.IntN(7)]...)
			if w.IntN(3) == 0 {
				b = append(append(b, nouns[w.IntN(len(nouns))]...), ' ')
			}
			b = append(b, fields[w.IntN(len(fields))]...)
		}
		// Zipf among the templates, too: the first are a hundred times as frequent as the last.
		share := float64(weight) / sum / float64(i+2)
		out[i] = shape{weight: 1 + int(share), template: w.settle(string(append(b, suffix...)))}
	}
	return out
}

// settle puts words for the names in capitals: what a programmer wrote once, and stands in every line that
// the template makes.
func (w *world) settle(template string) string {
	return placeholder.ReplaceAllStringFunc(template, func(name string) string {
		switch name {
		case "<NOUN>":
			return nouns[w.IntN(len(nouns))]
		case "<PHRASE>":
			return string(w.phrase(nil))
		case "<NAME>":
			return w.camel()
		case "<LINE>":
			return strconv.Itoa(12 + w.IntN(2900))
		case "<LEVEL>":
			return string("IIIIIIIIIIWWE"[w.IntN(13)])
		case "<PROGRAM>":
			return fmt.Sprintf("<program%d>", min(w.IntN(programs), w.IntN(programs)))
		}
		return name
	})
}

// settled makes n templates of each shape, which share its weight.
func settled(purpose uint64, n int, shapes []shape) (out []shape) {
	w := &world{Rand: rng(0, purpose)}
	for _, s := range shapes {
		for range n {
			out = append(out, shape{max(1, s.weight/n), w.settle(s.template)})
		}
	}
	return out
}

// camel returns a name such as cacheReader.
func (w *world) camel() string {
	second := nouns[w.IntN(len(nouns))]
	return nouns[w.IntN(len(nouns))] + string(second[0]-'a'+'A') + second[1:]
}
