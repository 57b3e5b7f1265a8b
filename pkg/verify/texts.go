package verify

import (
	"fmt"
	"strconv"
	"strings"
)

// Lang is a language that reports can be given in.
type Lang string

// The languages.
const (
	English Lang = "en"
	Chinese Lang = "zh-CN"
)

// pair is a text in both languages.
type pair struct{ en, zh string }

func (p pair) in(l Lang) string {
	if l == Chinese {
		return p.zh
	}
	return p.en
}

// Text says the verdict in a word or two.
func (v Verdict) Text(l Lang) string { return verdictTexts[v].in(l) }

// Reason says in a sentence what the verdict means.
func (v Verdict) Reason(l Lang) string { return verdictReasons[v].in(l) }

// Text says what is missing, as a sentence.
func (m Missing) Text(l Lang) string { return missingTexts[m].in(l) }

// Text says the grade in a word or two.
func (g Grade) Text(l Lang) string { return gradeTexts[g].in(l) }

// Text says the problem in one or two sentences, with its place.
func (p Problem) Text(l Lang) string {
	text := problemTexts[p.Code].in(l)
	seq := "?"
	if p.Place.Seq != nil {
		seq = strconv.FormatUint(*p.Place.Seq, 10)
	}
	rec := "?"
	if p.Place.Rec != nil {
		rec = p.Place.Rec.String()
	}
	file := p.Place.File
	if p.Place.Line > 0 {
		file = fmt.Sprintf(pair{"%s, line %d", "%s 第 %d 行"}.in(l), file, p.Place.Line)
	}
	chunk := ""
	if p.Place.Chunk != nil {
		chunk = fmt.Sprintf(pair{"chunk %d (bytes %d to %d%s)", "数据块 %d（第 %d 至 %d 字节%s）"}.in(l), *p.Place.Chunk, p.Place.From, p.Place.Until-1, p.Place.Seconds.text(l))
	}
	return strings.NewReplacer("{file}", replaceOdd([]byte(file), ""), "{seq}", seq, "{rec}", rec, "{chunk}", chunk, "{value}", replaceOdd([]byte(p.Value), ""), "{seconds}", p.Place.Seconds.text(l)).Replace(text)
}

func (s *Seconds) text(l Lang) string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf(pair{", about seconds %.1f to %.1f of the footage", "，约为画面第 %.1f 至 %.1f 秒"}.in(l), s.From, s.Until)
}

var verdictTexts = map[Verdict]pair{
	Verified:    {"Sound", "校验一致"},
	SelfVouched: {"Consistent, but vouched for only by itself", "自身一致，但仅由证据包自身担保"},
	Incomplete:  {"Sound but incomplete", "一致但不完整"},
	Broken:      {"Broken", "校验不一致"},
	Unreadable:  {"Cannot be checked", "无法校验"},
}

var verdictReasons = map[Verdict]pair{
	Verified:    {"Nothing is changed and nothing is missing; the receipts are those of a log that you trust.", "没有改动，没有缺失；存证回执出自您信任的日志。"},
	SelfVouched: {"Nothing in it contradicts anything else, but somebody could have made all of it up: no trust folder was given (--trust).", "内容彼此一致，但不能排除整体伪造：没有给出信任文件夹（--trust）。"},
	Incomplete:  {"What is here is unchanged, but something is missing.", "现有内容没有改动，但有缺失。"},
	Broken:      {"Something is not as it was recorded, or not by whom it claims.", "有内容与记录时不一致，或并非出自其声称的来源。"},
	Unreadable:  {"Nothing is said about the evidence.", "对证据本身不作任何判断。"},
}

var gradeTexts = map[Grade]pair{
	CaptureSealed:  {"capture-sealed", "录制时签封"},
	DockSealed:     {"dock-sealed", "采集时签封"},
	SoftwareSealed: {"software-sealed", "软件签封（试用）"},
}

var missingTexts = map[Missing]pair{
	NoTrust:        {"No trust folder was given: the log's key comes from the bundle itself.", "没有给出信任文件夹：日志公钥来自证据包自身。"},
	NoLogTrust:     {"No trust folder was given: whose log this is is not checked.", "没有给出信任文件夹：未校验这是谁的日志。"},
	NoWitnesses:    {"No witnesses were given: that the log showed everybody the same is not checked.", "没有给出见证方：未校验日志对所有人是否一致。"},
	NoEKRoots:      {"No TPM makers' certificates were given: whose TPM sealed is not checked.", "没有给出 TPM 厂商证书：未校验签封所用 TPM 的厂商。"},
	NoTSARoots:     {"No time stamping authority was given: time stamps are not checked.", "没有给出时间戳机构：未校验时间戳。"},
	NoQuorum:       {"Too few of the witnesses given signed the receipts: that the log showed everybody the same, and by when this was sealed, is not claimed by them.", "签署存证回执的见证方不足：日志对所有人是否一致、签封不晚于何时，均不据此作判断。"},
	NoLogQuorum:    {"Too few of the witnesses given signed the log's checkpoint: that the log showed everybody the same is not claimed.", "签署日志检查点的见证方不足：日志对所有人是否一致，不作判断。"},
	NoAnchorQuorum: {"Too few of the witnesses given signed the anchor ahead of the recording: since when this was sealed is not claimed.", "签署记录之前锚点的见证方不足：签封不早于何时，不作判断。"},
	NoAnchor:       {"The device anchored no checkpoint ahead of the recording: since when this was sealed is not claimed.", "设备在记录之前未作锚点：签封不早于何时，不作判断。"},
	NoStamp:        {"No time stamp of the authorities given is over this recording: nothing is claimed by them.", "所给时间戳机构没有覆盖此记录的时间戳：不据此作判断。"},
	PCRsUnknown:    {"The device's start-up values are in none of the reference sets given: what software it ran is not claimed.", "设备启动度量值不在所给参考值中：不判断其运行的软件。"},
	TrialTPM:       {"emulated TPM, trial", "模拟 TPM，试用"},
	Unattested:     {"that the sealing key is in the TPM that the maker's certificate is about: no logged word of the operator is here", "签封密钥与厂商证书同属一个 TPM：此处没有运营方登记的陈述"},
	NoCounter:      {"that no other recording was begun: the device's recordings are not counted by a TPM", "没有另外开始的记录：设备的记录未由 TPM 计数"},
	FilmingTime:    {"the time of filming", "拍摄时间"},
	MakerUnknown:   {"TPM maker unknown", "TPM 厂商未知"},
	SoftwareKey:    {"there was no TPM: the key is a file, for trials only", "没有 TPM：密钥是一个文件，仅供试用"},
	TimeUnproven:   {"the times: they are what the device's clock said", "时间：仅为设备时钟所述"},
	BeforeDocking:  {"what happened before the recording was taken in from its recorder", "从记录仪采集之前发生的事"},
	RecorderInput:  {"what was fed into the camera's pipe on the recorder", "记录仪内部输入画面的来源"},
	PictureTrue:    {"that the picture shows what it seems to show", "画面所示即为事实"},
	LoneOperator:   {"that the log's keeper told everybody the same", "日志运营方对所有人陈述一致"},
	LastFromServer: {"that nothing followed the last statement here: the server says so", "此后再无陈述：仅为服务器所述"},
}

var problemTexts = map[Code]pair{
	CodeNotABundle: {"This is no Camseal bundle: {file} is not there. Give the folder or .zip that was handed out.", "这不是 Camseal 证据包：没有 {file}。请给出所收到的文件夹或 .zip 文件。"},
	CodeIO:         {"{file} cannot be read. Try with another copy of the bundle.", "无法读取 {file}。请换一份证据包副本再试。"},
	CodeRefused:    {"The bundle holds {file}, which no bundle may hold. It was not looked into.", "证据包含有不允许的内容 {file}，未予读取。"},

	CodeUnexpected:    {"{file} does not belong in the bundle.", "{file} 不属于此证据包。"},
	CodeMissingFile:   {"{file} is missing.", "缺少 {file}。"},
	CodeTooLarge:      {"{file} is larger than the format allows ({value}).", "{file} 超过格式允许的大小（{value}）。"},
	CodeManifestForm:  {"The list of files {file} is not in its one form.", "文件清单 {file} 不符合规定形式。"},
	CodeNotListed:     {"{file} is not in the list {value}.", "{file} 不在清单 {value} 中。"},
	CodeListedMissing: {"{file} is listed in {value} but is not there.", "清单 {value} 列有 {file}，但文件不存在。"},
	CodeWrongHash:     {"{file} is not what the list {value} says: it was changed.", "{file} 与清单 {value} 不符：已被改动。"},
	CodeFixedContent:  {"{file} does not say what follows from the sealed statements: it was changed.", "{file} 与签封陈述推出的内容不符：已被改动。"},
	CodeDevice:        {"{file}: the device's key cannot be used, or is not the one that it is named after.", "{file}：设备密钥不可用，或与其名称不符。"},
	CodeChain:         {"The chain of the device's statements breaks at {file} (statement {seq}): a statement was changed, dropped, added or moved.", "设备陈述的哈希链在 {file}（陈述 {seq}）处断裂：有陈述被改动、删除、添加或调换。"},
	CodeForeign:       {"{file} is about another recording, {value}.", "{file} 属于另一音像记录 {value}。"},
	CodeRule:          {"{file}: the statement {seq} ({value}) does not fit recording {rec}.", "{file}：陈述 {seq}（{value}）与音像记录 {rec} 不符。"},
	CodeNoRecording:   {"{file} holds no recording.", "{file} 中没有音像记录。"},
	CodeSeal:          {"The seal at {file} (up to statement {seq}) does not hold.", "{file} 处的签封（至陈述 {seq}）不成立。"},
	CodeUnsealed:      {"The last {value} statements, up to {seq}, have no seal in {file}.", "最后 {value} 条陈述（至 {seq}）在 {file} 中没有签封。"},
	CodeChunk:         {"Recording {rec}, {chunk}: these bytes of {file} are not those that were sealed.", "音像记录 {rec}，{chunk}：{file} 的这些字节与签封时不一致。"},
	CodeShort:         {"Recording {rec}: {file} ends at byte {value}; {chunk} and all that follows is cut off.", "音像记录 {rec}：{file} 在第 {value} 字节处中断；{chunk} 及其后内容缺失。"},
	CodeLong:          {"Recording {rec}: {file} goes on after byte {value}, where the sealed recording ends.", "音像记录 {rec}：{file} 超出签封记录的末尾（第 {value} 字节）。"},
	CodeWholeHash:     {"Recording {rec}: {file} as a whole is not what the device closed.", "音像记录 {rec}：{file} 整体与设备结束记录时不一致。"},
	CodeReceipt:       {"The receipt {value} ({file}) does not hold.", "存证回执 {value}（{file}）不成立。"},
	CodeReceiptOrder:  {"The receipt or checkpoint {value} ({file}) contradicts another one: the log showed two different contents.", "存证回执 {value}（{file}）与另一回执矛盾：日志出示了两种内容。"},
	CodeAnchor:        {"The anchor at {file} (statement {seq}) holds no checkpoint of the device's log.", "{file} 处的锚点（陈述 {seq}）不是设备所属日志的检查点。"},
	CodeStamp:         {"The time stamp at {file} does not hold.", "{file} 处的时间戳不成立。"},
	CodeEK:            {"The certificate of the device's TPM is not about the TPM that it enrolled with ({file}).", "设备的 TPM 证书与其注册时的 TPM 不符（{file}）。"},
	CodeRevoked:       {"The device was revoked ({file}) before the log had statement {seq}.", "在日志收到陈述 {seq} 之前，设备已被吊销（{file}）。"},
	CodeCustodyLine:   {"The custody event at {file} is not what was logged.", "{file} 的保管流转记录与登记时不一致。"},
	CodeExport:        {"{file}: this is not the bundle that was handed out.", "{file}：这不是当时导出的证据包。"},
	CodeUnknownLog:    {"The trust folder does not know the log {value} that the bundle's receipts come from.", "信任文件夹不认识此证据包回执所属的日志 {value}。"},
	CodeOtherKey:      {"The trust folder knows the log {value} by another key: the bundle was made by somebody else.", "信任文件夹中日志 {value} 的公钥不同：证据包出自他人之手。"},
	CodeLogRange:      {"The receipt {value} ({file}) is from a time for which the trust folder does not vouch.", "存证回执 {value}（{file}）不在信任文件夹认可的范围内。"},

	CodeNoLog:      {"This is no transparency log: {file} is not there. Give the folder that holds it (C2SP tlog-tiles).", "这不是透明日志：没有 {file}。请给出其所在文件夹（C2SP tlog-tiles）。"},
	CodeCheckpoint: {"The log's checkpoint {file} does not hold.", "日志检查点 {file} 不成立。"},
	CodeTile:       {"{file} is not what the log's entries give: a hash was changed.", "{file} 与日志条目推出的内容不符：有哈希被改动。"},
	CodeEntries:    {"{file} is cut off or not in its one form.", "{file} 被截断或不符合规定形式。"},
	CodeRoot:       {"The log's entries do not give the root that its checkpoint {file} states: an entry was changed, dropped or added.", "日志条目与检查点 {file} 的根不符：有条目被改动、删除或添加。"},
	CodeLeafForm:   {"Leaf {value} ({file}) is not in the one form of a leaf.", "叶子 {value}（{file}）不符合规定形式。"},
	CodeTwoHeads:   {"The log holds two different histories of one device: {value} name different heads for statement {seq}.", "日志中同一设备有两种历史：{value} 对陈述 {seq} 给出不同的链首。"},
	CodeSeenBack:   {"Leaf {value} does not go on from the device's seen leaf before it: it goes back, or skips one.", "叶子 {value} 与该设备此前的叶子不衔接：有回退或跳过。"},
	CodeStoredBack: {"Leaf {value} takes back what the log promised before about recording {rec}.", "叶子 {value} 收回了日志此前就音像记录 {rec} 作出的承诺。"},

	CodeOrder:          {"Order not proven by the TPM between statements {value} and {seq} ({file}).", "TPM 未能证明陈述 {value} 与 {seq} 之间的顺序（{file}）。"},
	CodeCounterGap:     {"Recordings are missing: the TPM's counter values {value} never arrived, before statement {seq} ({file}).", "缺少音像记录：陈述 {seq} 之前，TPM 计数器的值 {value} 从未送达（{file}）。"},
	CodeNoCount:        {"{file} holds no count record of statement {seq}: that nothing was begun beside it is not shown.", "{file} 中没有陈述 {seq} 的计数记录：不能证明没有另外开始的记录。"},
	CodeNoSeen:         {"No receipt in {file} says that the log has the statements up to {value}.", "{file} 中没有回执证明日志已登记至陈述 {value}。"},
	CodeNoStored:       {"No receipt in {file} says that recording {rec} was stored.", "{file} 中没有回执证明音像记录 {rec} 已入库。"},
	CodePartlyStored:   {"By the receipts in {file}, {value} chunks of recording {rec} were stored; the rest was not yet.", "依 {file} 中的回执，音像记录 {rec} 已入库 {value} 个数据块，其余尚未入库。"},
	CodeAbsent:         {"Recording {rec}, {chunk}: the device lost these bytes before they could be stored.", "音像记录 {rec}，{chunk}：设备在入库前丢失了这些字节。"},
	CodeNotClosed:      {"Recording {rec} has no end: the device did not close it.", "音像记录 {rec} 没有结束：设备未作结束陈述。"},
	CodeHole:           {"Recording {rec}: nothing was recorded from second {value}; a fault in the chain says why.", "音像记录 {rec}：第 {value} 秒无录制内容；链中的故障陈述说明了原因。"},
	CodeUnread:         {"Recording {rec}: the recorder's medium could not be read at bytes {value}{seconds}; zeros stand there in the exhibit.", "音像记录 {rec}：记录仪介质第 {value} 字节{seconds}无法读取，原件中该处以零填充。"},
	CodeClosedEarly:    {"Recording {rec} was not taken in whole; the device says why: {value}.", "音像记录 {rec} 未完整采集；设备所述原因：{value}。"},
	CodeSizeDiffers:    {"Recording {rec}: the source had {value} bytes when it was opened, another number was taken in.", "音像记录 {rec}：源文件打开时为 {value} 字节，采集的字节数不同。"},
	CodeCustodyNoProof: {"No receipt says that the log has the custody event at {file}.", "没有回执证明日志已登记 {file} 的保管流转记录。"},
	CodeCustodyGone:    {"{file} lacks the custody event that receipt {value} stands for.", "{file} 缺少回执 {value} 对应的保管流转记录。"},
	CodeFootage:        {"The footage of recording {rec} was not read here: only what vouches for it was checked.", "此处未读取音像记录 {rec} 的内容：仅校验了其证明材料。"},
	CodeNoExport:       {"There is no receipt of the bundle as a whole ({file}): that nothing was left out is not proven.", "没有整个证据包的回执（{file}）：不能证明没有遗漏。"},
}
