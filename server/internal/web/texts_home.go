package web

// textsHome are the words of the home page.
var textsHome = map[string][2]string{
	"home":             {"Home", "首页"},
	"home-quiet":       {"Nothing needs a person right now.", "目前没有需要人工处理的事项。"},
	"home-none":        {"none", "无"},
	"home-broken":      {"Broken", "校验不一致"},
	"home-missing":     {"Missing or incomplete", "缺失或不完整"},
	"home-late":        {"Late", "逾期或即将到期"},
	"home-mine":        {"Mine to do", "待我办理"},
	"home-more":        {"and %d more.", "另有 %d 项。"},
	"home-all":         {"All of them", "查看全部"},
	"home-last":        {"Last recordings", "最近的音像记录"},
	"home-fleet":       {"Devices in use: %d. Revoked: %d.", "在用设备 %d 台，已吊销 %d 台。"},
	"home-damaged":     {"part %d in the vault is not what was sealed", "证据库中的第 %d 个数据块与签封不符"},
	"home-dispose":     {"disposal proposed: a second person is asked for", "已提出销毁，待第二人确认"},
	"home-fork":        {"The device sent two different statements under number %d. The second was refused.", "设备以同一序号 %d 送来两份不同陈述，后到者已拒收。"},
	"home-suspect":     {"The device's word is suspect since:", "设备陈述存疑，起始时间："},
	"home-gap":         {"Counter values %s to %s never arrived.", "计数值 %s 至 %s 从未送达。"},
	"home-calendar":    {"The working days of this year are not entered. Review terms run into it.", "该年工作日尚未录入，审核期限将涉及该年。"},
	"home-header-late": {"no case header, and it is late", "尚无执法信息说明，已逾期"},
}
