package loggen

import "strconv"

// nginx imitates an access log in the combined format.
func nginx(w *world) field {
	w.fields["ip"] = w.population(40000, 1.05, w.addresses(""))
	w.fields["user"] = w.anonymous()
	w.fields["when"] = w.time("02/Jan/2006:15:04:05 -0700")
	w.fields["method"] = w.words("GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
	w.fields["asset"] = w.population(400, 1.2, w.assets())
	w.fields["page"] = w.population(900, 1.2, w.pages())
	w.fields["uuid"] = w.shared(200, 1, 5, w.appendUUID)
	w.fields["id"] = w.zipfIDs(200000)
	w.fields["api"] = w.words("orders", "carts", "users", "products", "payments", "sessions", "search", "reviews", "shipments", "invoices")
	w.fields["version"] = w.words("v2", "v1", "v3")
	w.fields["query"] = w.maybe(3, "?page=<id>")
	w.fields["term"] = w.zipfOf(1.1, nouns)
	w.fields["scan"] = func(dst []byte) []byte { return w.appendHex(append(dst, "%27+or+1%3D"...), 12) }
	w.fields["path"] = w.choose([]shape{
		{26, "<page><query>"}, {22, "<asset>"}, {15, "/api/<version>/<api>/<id>"}, {15, "/api/<version>/<api>/<uuid>"},
		{8, "/api/<version>/<api>"}, {5, "/search?q=<term>&sort=<api>&page=<id>"}, {1, "/admin.php?x=<scan>"},
	})
	w.fields["status"] = w.statuses()
	w.fields["bytes"] = w.bodySizes()
	w.fields["agent"] = w.population(300, 1.1, w.agents())
	w.fields["site"] = w.words("https://shop.example.com", "https://www.example.org", "https://search.example.net")
	w.fields["from"] = w.choose([]shape{{10, "-"}, {8, "<site>/"}, {8, "<site><page>"}, {2, "<site>/search?q=<term>"}})
	return w.compile(`<ip> - <user> [<when>] "<method> <path> HTTP/1.1" <status> <bytes> "<from>" "<agent>"`)
}

// anonymous makes a field that is a name for one in twenty requests.
func (w *world) anonymous() field {
	names := w.zipfOf(1.2, people)
	return func(dst []byte) []byte {
		if w.IntN(20) > 0 {
			return append(dst, '-')
		}
		return names(dst)
	}
}

// zipfIDs makes a field of numbers below n, some far more often than others, which says nothing about
// their size.
func (w *world) zipfIDs(n uint64) field {
	next := w.zipf(int(n), 1.05)
	return func(dst []byte) []byte { return strconv.AppendUint(dst, 1+uint64(next())*48271%n, 10) }
}

func (w *world) pages() field {
	return func(dst []byte) []byte {
		for range 1 + w.IntN(3) {
			dst = append(append(dst, '/'), nouns[w.IntN(len(nouns))]...)
			if w.IntN(3) == 0 {
				dst = append(append(dst, '-'), adjectives[w.IntN(len(adjectives))]...)
			}
		}
		return dst
	}
}

func (w *world) assets() field {
	return func(dst []byte) []byte {
		dst = append(append(dst, "/static/"...), nouns[w.IntN(len(nouns))]...)
		dst = w.appendHex(append(dst, '.'), 8)
		return append(dst, []string{".js", ".css", ".png", ".svg", ".woff2", ".webp"}[w.IntN(6)]...)
	}
}

func (w *world) statuses() field {
	return w.choose([]shape{{820, "200"}, {60, "304"}, {30, "301"}, {20, "302"}, {30, "404"}, {10, "401"}, {8, "403"}, {6, "400"},
		{4, "499"}, {4, "500"}, {4, "502"}, {3, "503"}, {1, "504"}})
}

func (w *world) bodySizes() field {
	sizes := w.sizes(4000)
	return func(dst []byte) []byte {
		switch w.IntN(10) {
		case 0:
			return append(dst, '0')
		case 1, 2:
			return append(dst, "1534"...) // a page that many ask for
		}
		return sizes(dst)
	}
}

// agents makes a field of user agents: few programs in many versions.
func (w *world) agents() field {
	w.fields["major"] = w.ints(98, 141)
	w.fields["minor"] = w.ints(0, 9)
	w.fields["build"] = w.ints(1000, 7300)
	w.fields["os"] = w.any("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64",
		"iPhone; CPU iPhone OS 17_4 like Mac OS X", "Linux; Android 14; Pixel 8", "X11; Ubuntu; Linux x86_64; rv:128.0")
	return w.choose([]shape{
		{10, "Mozilla/5.0 (<os>) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/<major>.0.<build>.<minor> Safari/537.36"},
		{4, "Mozilla/5.0 (<os>) Gecko/20100101 Firefox/<major>.0"},
		{4, "Mozilla/5.0 (<os>) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.<minor> Safari/605.1.15"},
		{2, "Mozilla/5.0 (compatible; examplebot/2.<minor>; +http://bot.example.com/<build>)"},
		{1, "curl/7.<minor>.0"}, {1, "curl/8.<minor>.1"}, {1, "python-requests/2.<minor>.0"}, {1, "Go-http-client/1.1"}, {1, "kube-probe/1.3<minor>"},
	})
}

var nginxQueries = common(
	Query{Kind: StaticWord, Text: " 500 "},
	Query{Kind: CountWord, Text: `HTTP/1.1" 404`},
	Query{Kind: StaticWord, Text: "curl/7"},
	Query{Kind: LoneID, After: "/api/v2/orders/", Length: 36},
	Query{Kind: Partial, Text: "/api/v1/orders/7"},
	Query{Kind: Regexp, Text: `" 50\d \d+ "`, Literal: `" 50`},
)
