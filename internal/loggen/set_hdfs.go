package loggen

import "strconv"

// hdfs imitates the data nodes and the name node of a distributed file system.
func hdfs(w *world) field {
	addr := list(203, w.addresses("10.251."))
	addr = append(addr, list(101, w.addresses("10.250."))...)
	user := list(12, w.any(people...))
	fields := w.fields
	fields["when"] = w.time("060102 150405")
	fields["pid"] = w.population(600, 1.1, w.ints(13, 32000))
	fields["blk"] = w.shared(2500, 4, 12, func(dst []byte) []byte { return strconv.AppendInt(append(dst, "blk_"...), int64(w.Uint64()), 10) })
	fields["ip"] = w.any(addr...)
	fields["port"] = w.ints(32768, 61000)
	fields["few"] = w.ints(0, 2)
	fields["size"] = w.blockSizes()
	fields["user"] = w.any(user...)
	fields["part"] = w.padded(0, 1999, 5)
	fields["try"] = w.ints(0, 2)
	fields["task"] = w.shared(40, 20, 90, func(dst []byte) []byte {
		dst = appendPadded(append(dst, "task_202601150830_"...), w.Int64N(60), 4)
		return appendPadded(append(dst, "_m_"...), w.Int64N(2000), 6)
	})
	fields["dir"] = w.ints(0, 63)
	fields["words"] = w.phrase
	fields["hex"] = w.hex(8)
	return w.choose([]shape{
		{3100, "<when> <pid> INFO dfs.DataNode$PacketResponder: PacketResponder <few> for block <blk> terminating"},
		{3000, "<when> <pid> INFO dfs.FSNamesystem: BLOCK* NameSystem.addStoredBlock: blockMap updated: <ip>:50010 is added to <blk> size <size>"},
		{2900, "<when> <pid> INFO dfs.DataNode$PacketResponder: Received block <blk> of size <size> from /<ip>"},
		{2600, "<when> <pid> INFO dfs.DataNode$DataXceiver: Receiving block <blk> src: /<ip>:<port> dest: /<ip>:50010"},
		{1400, "<when> <pid> INFO dfs.FSNamesystem: BLOCK* NameSystem.delete: <blk> is added to invalidSet of <ip>:50010"},
		{1400, "<when> <pid> INFO dfs.FSDataset: Deleting block <blk> file /data/hadoop/dfs/current/subdir<dir>/<blk>"},
		{1000, "<when> <pid> INFO dfs.FSNamesystem: BLOCK* NameSystem.allocateBlock: /user/<user>/rand/_temporary/_<task>_<try>/part-<part>. <blk>"},
		{400, "<when> <pid> INFO dfs.DataBlockScanner: Verification succeeded for <blk>"},
		{300, "<when> <pid> INFO dfs.DataNode$DataXceiver: Served block <blk> to /<ip>"},
		{150, "<when> <pid> WARN dfs.DataNode$DataXceiver: <ip>:50010:Got exception while serving <blk> to /<ip>:"},
		{60, "<when> <pid> INFO dfs.DataNode: Starting thread to transfer block <blk> to <ip>:50010, <ip>:50010"},
		{40, "<when> <pid> INFO dfs.FSNamesystem: BLOCK* ask <ip>:50010 to replicate <blk> to datanode(s) <ip>:50010"},
		{20, "<when> <pid> ERROR dfs.DataNode$DataXceiver: Exception in receiveBlock for block <blk> java.io.IOException: Connection reset by peer"},
		{10, "<when> <pid> WARN dfs.PendingReplicationBlocks$PendingReplicationMonitor: PendingReplicationMonitor timed out block <blk>"},
		{8, "<when> <pid> WARN dfs.FSDataset: Unexpected error trying to delete block <blk>. BlockInfo not found in volumeMap."},
		{3, "<when> <pid> WARN dfs.DataNode: <words>: java.io.InterruptedIOException: <words> 0x<hex>"},
	})
}

// blockSizes makes a field of the lengths of blocks: most are full.
func (w *world) blockSizes() field {
	return func(dst []byte) []byte {
		if w.IntN(4) > 0 {
			return append(dst, "67108864"...)
		}
		return strconv.AppendInt(dst, 1+w.Int64N(67108864), 10)
	}
}

var hdfsQueries = common(
	Query{Kind: StaticWord, Text: "PacketResponder"},
	Query{Kind: CountWord, Text: "PacketResponder"},
	Query{Kind: LoneID, After: "blk_"},
	Query{Kind: Partial, Text: "10.251.7"},
	Query{Kind: Partial, Text: "67108864 from /10.25"},
	Query{Kind: Regexp, Text: `Received block blk_-?[0-9]+ of size [0-9]+ from /10\.251\.1`, Literal: " from /10.251.1"},
)
