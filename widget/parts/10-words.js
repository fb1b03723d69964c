// The words of the widget in ten languages, in the order of `WORDS`.
const WORDS = "open close welcome placeholder send stop you typing unsent retry waiting foreign unavailable slow ended again end copy".split(" ");

const LANGUAGES = {
  en: "Open chat|Close chat|Hello!|Type your message…|Send|Stop|You|Typing…|Not sent.|Retry|Waiting for the connection…|This chat is not available on this page.|The chat is not available right now.|Too many messages. Please wait:|The conversation has ended.|New conversation|End the conversation|Copy",
  de: "Chat öffnen|Chat schließen|Guten Tag!|Nachricht schreiben…|Senden|Anhalten|Sie|Schreibt…|Nicht gesendet.|Wiederholen|Wartet auf die Verbindung…|Dieser Chat ist auf dieser Seite nicht verfügbar.|Der Chat ist gerade nicht verfügbar.|Zu viele Nachrichten. Bitte warten:|Die Unterhaltung ist beendet.|Neue Unterhaltung|Unterhaltung beenden|Kopieren",
  nl: "Chat openen|Chat sluiten|Goedendag!|Typ uw bericht…|Versturen|Stoppen|U|Aan het typen…|Niet verzonden.|Opnieuw|Wacht op de verbinding…|Deze chat is niet beschikbaar op deze pagina.|De chat is nu niet beschikbaar.|Te veel berichten. Even wachten:|Het gesprek is beëindigd.|Nieuw gesprek|Gesprek beëindigen|Kopiëren",
  fr: "Ouvrir le chat|Fermer le chat|Bonjour !|Votre message…|Envoyer|Arrêter|Vous|En train d’écrire…|Non envoyé.|Réessayer|En attente de connexion…|Ce chat n’est pas disponible sur cette page.|Le chat n’est pas disponible pour le moment.|Trop de messages. Veuillez patienter :|La conversation est terminée.|Nouvelle conversation|Terminer la conversation|Copier",
  it: "Apri la chat|Chiudi la chat|Ciao!|Scrivi un messaggio…|Invia|Ferma|Tu|Sta scrivendo…|Non inviato.|Riprova|In attesa della connessione…|Questa chat non è disponibile in questa pagina.|La chat non è disponibile al momento.|Troppi messaggi. Attendi:|La conversazione è terminata.|Nuova conversazione|Termina la conversazione|Copia",
  es: "Abrir el chat|Cerrar el chat|¡Hola!|Escriba su mensaje…|Enviar|Detener|Usted|Escribiendo…|No enviado.|Reintentar|Esperando la conexión…|Este chat no está disponible en esta página.|El chat no está disponible en este momento.|Demasiados mensajes. Espere, por favor:|La conversación ha terminado.|Nueva conversación|Terminar la conversación|Copiar",
  pt: "Abrir o chat|Fechar o chat|Olá!|Escreva a sua mensagem…|Enviar|Parar|Você|Escrevendo…|Não enviada.|Tentar de novo|Aguardando a conexão…|Este chat não está disponível nesta página.|O chat não está disponível no momento.|Mensagens demais. Aguarde:|A conversa terminou.|Nova conversa|Terminar a conversa|Copiar",
  ja: "チャットを開く|チャットを閉じる|こんにちは。|メッセージを入力…|送信|停止|あなた|入力中…|送信できませんでした。|再試行|接続を待っています…|このページではチャットをご利用いただけません。|現在チャットをご利用いただけません。|メッセージが多すぎます。お待ちください:|会話は終了しました。|新しい会話|会話を終了|コピー",
  zh: "打开聊天|关闭聊天|您好！|请输入消息…|发送|停止|您|正在输入…|未发送。|重试|等待连接…|此页面无法使用聊天。|聊天暂时无法使用。|消息过多，请稍候：|对话已结束。|新对话|结束对话|复制",
  ar: "فتح المحادثة|إغلاق المحادثة|مرحبًا!|اكتب رسالتك…|إرسال|إيقاف|أنت|يكتب…|لم تُرسل.|إعادة المحاولة|بانتظار الاتصال…|المحادثة غير متاحة في هذه الصفحة.|المحادثة غير متاحة الآن.|رسائل كثيرة. يرجى الانتظار:|انتهت المحادثة.|محادثة جديدة|إنهاء المحادثة|نسخ",
};

// The first of the wanted languages that is one (`en_US` is not), with the words of it, or English ones.
const chooseLanguage = (...wanted) => {
  const tag = wanted.find((one) => one && tryTo(() => new Intl.Locale(one))) || "en";
  const words = (LANGUAGES[tag.slice(0, 2).toLowerCase()] || LANGUAGES.en).split("|");
  return { tag, W: Object.fromEntries(WORDS.map((name, at) => [name, words[at]])) };
};
