package web

// textsChecked are the words of the check in the reader's browser. /recordings/REC/parts hands those with the prefix checked- to the
// script; {…} stand for what it fills in.
var textsChecked = map[string][2]string{
	"part-gone": {"These bytes are not in the vault: they were lost before they came here, or the vault has lost them since. Everything else of the recording is as it was. Tell the custodian: a backup of the vault may have them.",
		"证据库中没有这些字节：送达之前已丢失，或之后从证据库中丢失。该记录的其余部分不受影响。请告知证据管理员：证据库的备份中可能仍有。"},

	"checked-sound":         {"Sound: the proofs hold, and every part is what was sealed ({n} of {of} checked in this browser, by this server's code and log key)", "校验一致：证明成立，各数据块均与签封时一致（本浏览器已校验 {n} / {of} 块，校验程序与日志公钥由本服务器提供）"},
	"checked-sound-0":       {"Sound: the proofs hold, by this server's code and log key; the recording holds no bytes", "校验一致：证明成立（校验程序与日志公钥由本服务器提供）；该记录没有内容字节"},
	"checked-checking":      {"Not checked yet: the proofs are being checked; {n} of {of} parts match this server's list", "未校验：正在校验证明；{n} / {of} 块与本服务器的清单一致"},
	"checked-parts":         {"The proofs hold; {n} of {of} parts checked in this browser", "证明成立；本浏览器已校验 {n} / {of} 块"},
	"checked-parts-less":    {"Something is missing; {n} of {of} parts checked in this browser", "有缺失；本浏览器已校验 {n} / {of} 块"},
	"checked-incomplete":    {"Sound but incomplete: every part that is here is what was sealed ({n} of {of}); {first}", "一致但不完整：现有数据块均与签封时一致（{n} / {of}）；{first}"},
	"checked-broken":        {"Broken: {first}", "校验不一致：{first}"},
	"checked-no-worker":     {"Not checked: this browser has no worker to check with (it needs https or this machine's own address). The server checked each part before it sent it.", "未校验：此浏览器无法在本地校验（需要 https 或本机地址）。服务器在发送前校验了各数据块。"},
	"checked-no-proofs":     {"The seals were not checked here: {why}. {n} of {of} parts match this server's list", "此处未校验签封：{why}。{n} / {of} 块与本服务器的清单一致"},
	"checked-no-verifier":   {"this server was built without the verifier for browsers", "本服务器未内置浏览器校验程序"},
	"checked-proofs-failed": {"the proofs could not be fetched or read", "证明材料无法取得或读取"},
	"checked-key":           {"The code that checks here and the log's key come from this server. To check against the server itself, use camseal-verify with a trust folder.", "此处的校验程序和日志公钥均由本服务器提供。如需独立于服务器校验，请用 camseal-verify 及信任文件夹。"},
	"checked-at":            {"Seconds {from} to {until} (about)", "约第 {from} 至 {until} 秒"},
	"checked-at-bytes":      {"Bytes {from} to {until} (part {part})", "第 {from} 至 {until} 字节（第 {part} 块）"},
	"checked-changed":       {"{at} do not match what the recorder sealed. They are not shown.", "{at}与记录仪签封的内容不一致，不予显示。"},
	"checked-list":          {"{at}: this server's list says something else than the recorder sealed. They are not shown.", "{at}：本服务器的清单与记录仪签封的内容不符，不予显示。"},
	"checked-gone":          {"{at} are not in the vault any more. There is nothing to show.", "{at}已不在证据库中，无内容可显示。"},
	"checked-absent":        {"{at} were lost by the device before they were stored. There is nothing to show.", "{at}在入库前由设备丢失，无内容可显示。"},
	"checked-undecodable":   {"{at} do not match what the recorder sealed, and this browser can't decode them.", "{at}与记录仪签封的内容不一致，且本浏览器无法解码。"},
	"checked-unreachable":   {"{at} could not be fetched from the server. Nothing is lost: try again when the connection is back.", "{at}无法从服务器取得。内容没有丢失：连接恢复后请重试。"},
	"checked-more":          {"{n} more parts are sealed and not stored yet; open the page again to see them.", "另有 {n} 块已签封、尚未入库；请稍后重新打开本页。"},
	"checked-line-parts":    {"{n} of {of} parts have the bytes that were sealed.", "{n} / {of} 块与签封的字节一致。"},
	"checked-line-list":     {"{n} of {of} parts have the bytes of this server's list.", "{n} / {of} 块与本服务器清单的字节一致。"},
	"checked-unchecked":     {"not checked", "未校验"},
	"checked-shown-anyway":  {"not as sealed", "与签封不一致"},
	"checked-show-anyway":   {"Show anyway, marked", "仍然显示（加标记）"},
	"checked-no-past":       {"Nothing behind it can be shown: choose a later moment.", "其后紧接的内容无法显示，请选择更晚的时刻。"},
	"checked-go-past":       {"Go past it", "跳过"},
	"checked-check-all":     {"Check all parts now", "立即校验全部数据块"},
	"checked-lines":         {"What was checked", "校验内容"},
}
