package loggen

import "strconv"

// spark imitates the executors and the driver of a batch system.
func spark(w *world) field {
	f := w.fields
	f["when"] = w.time("06/01/02 15:04:05")
	f["tid"] = w.counter(40_000, 1)
	f["stage"] = w.slowCounter(3, 1000)
	f["try"] = w.words("0", "0", "0", "1", "2", "3")
	f["part"] = w.ints(0, 399)
	f["rdd"] = w.slowCounter(17, 500)
	f["bc"] = w.slowCounter(5, 400)
	f["kb"] = w.decimals(24, 1, false)
	f["free"] = w.decimals(380, 1, false)
	f["unit"] = w.words("KB", "MB", "B", "GB")
	f["bytes"] = w.sizes(2200)
	f["ms"] = w.sizes(35)
	f["n"] = w.sizes(9)
	f["host"] = w.population(48, 1.1, func(dst []byte) []byte { return strconv.AppendInt(append(dst, "mesos-slave-"...), 1+w.Int64N(48), 10) })
	f["ip"] = w.population(48, 1.1, w.addresses("10.10.34."))
	f["port"] = w.ints(33000, 60999)
	f["app"] = w.shared(3, 4000, 9000, func(dst []byte) []byte {
		return appendPadded(append(dst, "application_1768435200123_"...), w.Int64N(400), 4)
	})
	f["start"] = w.ints(0, 1<<31)
	f["class"] = w.zipfOf(1.3, []string{"executor.Executor", "storage.MemoryStore", "storage.BlockManager", "rdd.HadoopRDD", "python.PythonRunner",
		"spark.MapOutputTrackerWorker", "shuffle.ShuffleBlockFetcherIterator", "util.Utils", "memory.TaskMemoryManager"})
	f["words"] = w.phrase
	f["task"] = w.compile("task <part>.<try> in stage <stage>.0 (TID <tid>)")
	shapes := []shape{
		{3000, "<when> INFO executor.Executor: Running <task>"},
		{3000, "<when> INFO executor.Executor: Finished <task>. <bytes> bytes result sent to driver"},
		{2800, "<when> INFO executor.CoarseGrainedExecutorBackend: Got assigned task <tid>"},
		{2500, "<when> INFO storage.BlockManager: Found block rdd_<rdd>_<part> locally"},
		{2000, "<when> INFO python.PythonRunner: Times: total = <ms>, boot = <n>, init = <n>, finish = <n>"},
		{1500, "<when> INFO storage.MemoryStore: Block broadcast_<bc>_piece0 stored as bytes in memory (estimated size <kb> <unit>, free <free> MB)"},
		{1200, "<when> INFO storage.MemoryStore: Block rdd_<rdd>_<part> stored as values in memory (estimated size <kb> <unit>, free <free> MB)"},
		{900, "<when> INFO rdd.HadoopRDD: Input split: hdfs://<ip>:9000/pjhe/logs/<app>/part-<part>:<start>+<bytes>"},
		{700, "<when> INFO broadcast.TorrentBroadcast: Reading broadcast variable <bc> took <ms> ms"},
		{600, "<when> INFO storage.ShuffleBlockFetcherIterator: Getting <n> non-empty blocks out of <n> blocks"},
		{500, "<when> INFO spark.MapOutputTrackerWorker: Updating epoch to <stage> and clearing cache"},
		{300, "<when> INFO scheduler.TaskSetManager: Starting <task>, <host>, partition <part>,PROCESS_LOCAL, <bytes> bytes)"},
		{200, "<when> WARN scheduler.TaskSetManager: Lost <task>, <host>): ExecutorLostFailure (executor <n> exited caused by one of the running tasks)"},
		{90, "<when> INFO yarn.ApplicationMaster: Registered <app> with <ip>:<port>"},
		{40, "<when> ERROR executor.Executor: Exception in <task> java.io.IOException: Failed to connect to <host>/<ip>:<port>"},
		{3, "<when> WARN <class>: <words>"},
	}
	return w.choose(append(shapes, invent(4, 25, 500, "<when> INFO <NOUN>.<NAME>: ", "", "<n>", "<ms>", "<host>", "<kb> <unit>")...))
}

// slowCounter makes a field that counts up by one each time it was used about uses times.
func (w *world) slowCounter(first int64, uses int) field {
	return func(dst []byte) []byte {
		if w.IntN(uses) == 0 {
			first++
		}
		return strconv.AppendInt(dst, first-w.Int64N(2), 10)
	}
}

var sparkQueries = common(
	Query{Kind: StaticWord, Text: "Found block"},
	Query{Kind: CountWord, Text: "result sent to driver"},
	Query{Kind: StaticWord, Text: "ExecutorLostFailure"},
	Query{Kind: LoneID, After: "(TID "},
	Query{Kind: Partial, Text: "rdd_2"},
	Query{Kind: Regexp, Text: `stage \d+\.0 \(TID \d*77\d*\)`, Literal: " (TID "},
)
