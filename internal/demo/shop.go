package demo

import "time"

// The shop, as tables. A service runs as some instances; an endpoint is a tree of calls.

// service is one program of the shop.
type service struct {
	name      string
	language  string
	version   string
	instances int
	format    logFormat
}

type logFormat int

const (
	formatJSON logFormat = iota
	formatLogfmt
	formatPlain
)

var services = []service{
	{"storefront", "nodejs", "3.12.0", 3, formatPlain},
	{"gateway", "go", "1.8.2", 2, formatLogfmt},
	{"catalog", "go", "2.4.1", 2, formatLogfmt},
	{"search", "java", "5.0.3", 2, formatPlain},
	{"recommendation", "python", "0.9.7", 2, formatJSON},
	{"cart", "dotnet", "4.1.0", 2, formatJSON},
	{"checkout", "go", "2.0.5", 2, formatJSON},
	{"payment", "java", "7.2.2", 2, formatJSON},
	{"fraud", "python", "1.3.0", 1, formatLogfmt},
	{"inventory", "rust", "0.6.4", 2, formatLogfmt},
	{"shipping", "java", "3.3.1", 1, formatPlain},
	{"currency", "cpp", "1.0.9", 1, formatPlain},
	{"accounts", "go", "2.2.0", 2, formatLogfmt},
	{"email", "ruby", "1.1.8", 1, formatPlain},
}

// protocol says how a call reaches what it calls.
type protocol int

const (
	viaHTTP protocol = iota
	viaGRPC
	viaSQL   // the callee is a database, which sends no spans of its own
	viaCache // the same
	viaQueue // the callee works later, in a consumer span
)

// call is a step of a request: on arrival at service, work time, then the children one after the
// other (or all at once).
type call struct {
	service  string // for viaSQL and viaCache the name of the database system
	name     string // of the operation: a route, a method, a statement, a topic
	via      protocol
	work     time.Duration // median of the own time
	parallel bool
	fails    float64 // share of calls that fail by themselves
	error    string  // what they say
	absorb   bool    // errors of the children don't make this call fail
	skip     float64 // share of requests in which this call is left out
	children []call
}

// endpoint is what a user does, with how often.
type endpoint struct {
	weight int
	method string
	call   call
}

func sql(statement string, work time.Duration) call {
	return call{service: "postgresql", name: statement, via: viaSQL, work: work, fails: 0.0004, error: "canceling statement due to statement timeout"}
}

func cache(command string) call {
	return call{service: "redis", name: command, via: viaCache, work: 400 * time.Microsecond, fails: 0.0001, error: "i/o timeout"}
}

const ms = time.Millisecond

var endpoints = []endpoint{
	{30, "GET", call{service: "storefront", name: "/", work: 4 * ms, children: []call{
		{service: "gateway", name: "/api/home", work: 2 * ms, parallel: true, absorb: true, children: []call{
			listProducts, recommend, {service: "currency", name: "CurrencyService/Rates", via: viaGRPC, work: ms, children: []call{cache("HGETALL rates")}},
		}},
	}}},
	{26, "GET", call{service: "storefront", name: "/product/{id}", work: 3 * ms, children: []call{
		{service: "gateway", name: "/api/product/{id}", work: 2 * ms, parallel: true, children: []call{
			{service: "catalog", name: "/products/{id}", work: 3 * ms, children: []call{
				cache("GET product"), skipped(0.7, sql("SELECT * FROM products WHERE id = $1", 3*ms))}},
			{service: "inventory", name: "InventoryService/Stock", via: viaGRPC, work: 2 * ms, children: []call{
				sql("SELECT warehouse, count FROM stock WHERE product = $1", 2*ms)}},
		}},
	}}},
	{18, "GET", call{service: "storefront", name: "/search", work: 3 * ms, children: []call{
		{service: "gateway", name: "/api/search", work: ms, children: []call{
			{service: "search", name: "/query", work: 24 * ms, fails: 0.003, error: "all shards failed", children: []call{
				{service: "elasticsearch", name: "POST products/_search", via: viaSQL, work: 18 * ms}}},
		}},
	}}},
	{14, "POST", call{service: "storefront", name: "/cart", work: 2 * ms, children: []call{
		{service: "gateway", name: "/api/cart", work: ms, children: []call{
			{service: "cart", name: "CartService/AddItem", via: viaGRPC, work: 2 * ms, children: []call{cache("HSET cart"), cache("EXPIRE cart")}},
		}},
	}}},
	{5, "POST", call{service: "storefront", name: "/checkout", work: 5 * ms, children: []call{
		{service: "gateway", name: "/api/checkout", work: 2 * ms, children: []call{placeOrder}},
	}}},
	{7, "GET", call{service: "storefront", name: "/account", work: 2 * ms, children: []call{
		{service: "gateway", name: "/api/account", work: ms, children: []call{
			{service: "accounts", name: "/users/{id}", work: 4 * ms, fails: 0.002, error: "session expired", children: []call{
				cache("GET session"), sql("SELECT id, email, name FROM users WHERE id = $1", 2*ms),
				sql("SELECT id, total FROM orders WHERE user_id = $1 ORDER BY id DESC LIMIT 20", 6*ms)}},
		}},
	}}},
}

var listProducts = call{service: "catalog", name: "/products", work: 5 * ms, children: []call{
	cache("GET products:front"), skipped(0.8, sql("SELECT id, name, price FROM products WHERE featured ORDER BY rank LIMIT 40", 9*ms))}}

// recommend is the one that has incidents.
var recommend = call{service: "recommendation", name: "RecommendationService/ForUser", via: viaGRPC, work: 12 * ms,
	fails: 0.004, error: "model not loaded", children: []call{
		cache("GET user-vector"), {service: "catalog", name: "/products", work: 4 * ms, children: []call{cache("MGET products")}}}}

var placeOrder = call{service: "checkout", name: "CheckoutService/PlaceOrder", via: viaGRPC, work: 6 * ms, children: []call{
	{service: "cart", name: "CartService/Get", via: viaGRPC, work: ms, children: []call{cache("HGETALL cart")}},
	{service: "currency", name: "CurrencyService/Convert", via: viaGRPC, work: ms},
	{service: "inventory", name: "InventoryService/Reserve", via: viaGRPC, work: 4 * ms, fails: 0.01, error: "out of stock", children: []call{
		sql("UPDATE stock SET reserved = reserved + $1 WHERE product = $2", 5*ms)}},
	{service: "payment", name: "PaymentService/Charge", via: viaGRPC, work: 8 * ms, fails: 0.02, error: "card declined", children: []call{
		{service: "fraud", name: "FraudService/Score", via: viaGRPC, work: 15 * ms, children: []call{cache("GET velocity")}},
		{service: "bank.example", name: "POST /v2/charges", via: viaHTTP, work: 120 * ms, fails: 0.006, error: "504 Gateway Timeout"},
		sql("INSERT INTO charges (order_id, amount, currency, status) VALUES ($1, $2, $3, $4)", 3*ms)}},
	{service: "shipping", name: "/quote", via: viaHTTP, work: 9 * ms, children: []call{sql("SELECT rate FROM carriers WHERE zone = $1", 2*ms)}},
	sql("INSERT INTO orders (user_id, total, currency) VALUES ($1, $2, $3) RETURNING id", 4*ms),
	{service: "email", name: "orders.placed", via: viaQueue, work: 35 * ms, fails: 0.01, error: "smtp: 451 temporary failure", absorb: true},
}}

func skipped(share float64, c call) call {
	c.skip = share
	return c
}

// incident reports how much slower recommendation is now, and the share of its calls that fail
// besides: three bad minutes of every twenty.
func incident(t time.Time) (slower, fails float64) {
	if m := t.Unix() / 60 % 20; m >= 11 && m < 14 {
		return 18, 0.25
	}
	return 1, 0
}
