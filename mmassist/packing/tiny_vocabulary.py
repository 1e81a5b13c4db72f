"""Byte pair merges of the tiny tokenizer, in order of rank: left and right part in turn.

Written by ``python -m tools.train_tiny_tokenizer``; do not edit.
"""

MERGES = r"""
Ġ t h e Ġt he Ġ a Ġ s e r i n n d Ġ w i t a t Ġ c o u r e Ġ p Ġ o Ġa nd Ġ b l e Ġt o Ġ m Ġ it Ġ f i s Ġ in n e n t a s
a r e d t er i l k e o w Ġ h Ġ d h at u t Ġ u a c e s y ou Ġ g Ġ you it h Ġo n Ġ T Ġ l Ġw ith e l o n in g Ġo f v e Ġs
t a ke o r Ġ W a l s e Ġ I Ġ le a n e n e t i c i d ĠT he o v g h l d r i ou r a d t t Ġ is ' s . Ċ a b i r m e p er r
o s er u r Ġt h Ġt hat Ġb e Ġh a e c s s s t c h e p k n Ġ ne Ġ kn nd s at ter Ġb atter Ġu ser ac h gh t t o Ġ C Ġ P
Ġthe m Ġw at o t t he u g Ġt w Ġs a re ad Ġp ut Ġd o Ġ Y Ġt ur Ġin to ov er Ġwat er a nt c k e e e nt i f i on l y l
ic o me p s Ġw hat Ġp l Ġp our Ġf or nt il as k il l ac e ĠW he Ġbatter y o ld Ġ he Ġs p Ġc over ĠY ou a m a in c re e
m g e l o o o o re o ar p en r ou u re Ġ N Ġ ri Ġt i Ġt r Ġthe y Ġa s Ġw e Ġc ab ou ld re ss ar t il ter Ġu ntil Ġyou
r el l ĠP ut Ġtur n ĠWhe n cre w Ġri ght , Ċ v er Ġ n Ġ re Ġ ke Ġt ask Ġa tt Ġs ec Ġs crew Ġp i Ġf ilter as s Ġl i Ġst
ep Ġne ed Ġsec o a y a per b e e as f ore g ain k ing m al n s p per q u r in u m u p x t Ġ B Ġ G Ġ R Ġ S Ġ j Ġ qu Ġt
ake Ġa gain Ġs ee Ġs lic Ġs ome Ġs mal Ġw ant Ġw ill at e at o Ġc h Ġc up ou t Ġp ress Ġp aper Ġo ne Ġb ut Ġb read Ġto
p Ġm ake is t Ġh as Ġd ri Ġg rou Ġl id Ġst art Ġle a id e tt le ab le ir st Ġha nd Ġha ve Ġkn ow Ġkn if the r Ġtw o
Ġsa nd Ġdo ne Ġpl ate lo se oar d ĠN ow Ġti me Ġcab in Ġslic e Ġsmal l Ġdri pper Ġgrou nds Ġknif e d d Ġ H Ġ e Ġa dd
Ġs h Ġc o Ġb o Ġm ug Ġg l Ġg o ĠI t Ġhe at Ġatt ach Ġscrew s Ġpi ec Ġseco nds L et a it a ps a king b out c e f f f t
h o h ing i le i ve i or k s k ed l p m b m ato o b o on o ve o ps r a r m s ed t ion u e u l u ck u be w e w er w el
Ġ A Ġ O Ġ v Ġ ed Ġ if Ġt ell Ġt ube he d he el he ck Ġthe n Ġa n Ġa t Ġa re Ġa bout Ġs in Ġs al Ġs ug er a in d in is
in ut Ġw ait Ġc ar Ġc an Ġc am re e Ġp ow Ġp ro Ġp ot Ġp rin Ġo il Ġo pen Ġo ther Ġb y Ġb ow le as le an Ġto mato Ġto
wel Ġm e Ġm ov Ġm inut Ġf l Ġf irst Ġf ive Ġf inis Ġin ter nt able Ġh al Ġd ro Ġu p ac k es tion Ġon ion Ġl oo Ġst ops
or y ĠW hat se mb Ġle t Ġle ft ic k Ġth is Ġth ir Ġbe fore Ġne w Ġtw ent Ġsa id Ġpl ace Ġhe lp em ove oo d Ġtr uck Ġas
semb Ġwe ar Ġke ep ass is Ġli ke Ġstep s ĠB e ĠR emove Ġqu estion Ġch assis ist ant Ġlea ve Ġpiec es aps ed ff ee Ġsal
t Ġsug ar Ġcam era Ġprin ter Ġbow l leas e Ġminut es Ġinter ior Ġhal f Ġdro ne Ġtwent y b oard l i s h Ġ F Ġ Let Ġa ss
Ġs o Ġw heel Ġc ould Ġo ver Ġb oard Ġf old Ġle ss Ġne xt ĠC lose Ġtur ntable Ġsp read Ġre m Ġke ttle Ġli ght Ġe ach
Ġco ffee Ġbo x Ġass istant ' d ' l ' t ' re ' ve 1 2 4 2 D on E l M aking T he U se a g a p a re c o c t c er c es c
ome c ul d er d le d ri d ge e ne e ed e el e ad e xt f ter f ug f ace f ul g g g n g in g es g et g ress h is h an h
ile h ind i m i p i x i z i gh i um j o j ec l f l in l it l ow l ing l ace l am m o m p m er m ar m ly n ch n ces o l
o m o le o ne o ad p p p et p pen p oon p ene r u r y r ow r on r id r am t e t s t y t le t on t hing u st u ch u
ntil u ce v ing w it w is w ic w ay y thing z er Ġ ou Ġ el Ġ en Ġ ro Ġ out Ġ Don Ġ El Ġ Making Ġ Use Ġt ou Ġt en Ġt em
Ġt eas Ġt able Ġt ap he r he s he es he ther he lf Ġthe re Ġthe se Ġthe rm Ġa ns Ġa rm Ġa li Ġa pp Ġa way Ġs it Ġs et
Ġs ur Ġs ure Ġs eas Ġs um Ġs ide Ġs ile Ġs we Ġs im Ġs low Ġs helf er e in k in al in se in ch nd er Ġw re Ġw as Ġw el
Ġw or Ġw ent Ġw ell Ġw ho Ġw his Ġw ip Ġw ron Ġw ere it tle at ch at ure at ory Ġc ou Ġc ut Ġc on Ġc ake Ġc ir Ġc ur
Ġc ent Ġc lic Ġc old Ġc lo Ġc oar Ġc lose Ġc ra Ġc heck Ġc lean Ġc are Ġc ru Ġc hees re s re at re nt re el re en Ġp
an Ġp ep Ġp art Ġp ick Ġp lease Ġp eel Ġp inch Ġo r Ġo pene Ġb es Ġb ake Ġb aking Ġb ack Ġb ag Ġb lin le s le dge Ġto
y Ġto get Ġto ol Ġm is Ġm ed Ġm il Ġm an Ġm et Ġm ic Ġm id Ġm ot Ġm em Ġm ore Ġm eas Ġm ist Ġm ix Ġm uch Ġf ar Ġf our
Ġf ro Ġf rid Ġf reel is hes Ġin ser Ġin st ne ct nt er as h as t ar lic ow n Ġh ow Ġh our Ġh ot Ġh ole Ġd et Ġd ue Ġd
ry Ġd ishes Ġd own Ġu se Ġu sed Ġu nder ac hed Ġg et Ġg ent Ġg ood Ġg ram Ġg reen Ġg arlic ĠT hat ĠT ake ĠT han Ġl ab
Ġl um Ġl oad Ġl ittle Ġl ast el ve on nect ve n Ġst ir Ġst ill Ġst ay or atory ĠW ell ĠW hile ĠW atch ĠW ash ĠI s Ġle
tt Ġle ns an s an ill an ge et we ic e ĠThe n ĠThe y ĠThe re ov ed ov es ri fug tt ach ir mly per ature ro lit ro ts
Ġth rou Ġth ree Ġth row Ġth ink Ġbe gin Ġbe ans Ġha nds Ġha ppen ch ing Ġkn ob ght en ĠC ould ĠC ho ĠC heck ĠC lean ĠC
onnect ĠP our ĠP lace Ġwat ching ot h ot hing Ġtw elve Ġsa mp read y ĠY es ck wis ome ter Ġpour ing Ġfor k ĠWhe re Ġsp
ace Ġsp oon Ġsp eed ain t ĠN ext Ġti ghten Ġtr ay Ġtr ack Ġas k Ġas ked Ġwe igh Ġcab le
"""
