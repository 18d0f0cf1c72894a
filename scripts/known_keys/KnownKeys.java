import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;

/**
 * Writes, as JSON, what a Kafka release says of its own configuration keys: those of a broker and those of a topic.
 *
 * <p>Run with the release's jars on the class path. Where the definitions live has changed over the releases, from Scala
 * objects to Java classes; so they are looked up by name, and whichever is there is taken.
 */
public class KnownKeys {
    private static final String[] BROKER = {"kafka.server.KafkaConfig$"};
    private static final String[] TOPIC = {
        "org.apache.kafka.storage.internals.log.LogConfig", "kafka.log.LogConfig$",
    };

    private static final String SYNONYMS = "org.apache.kafka.server.config.ServerTopicConfigSynonyms";

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> known = new TreeMap<>();
        known.put("broker", keys(definition(BROKER)));
        known.put("topic", keys(definition(TOPIC)));
        System.out.println(
                new ObjectMapper().enable(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS).writeValueAsString(known));
    }

    private static ConfigDef definition(String[] places) throws Exception {
        for (String place : places) {
            Class<?> owner;
            try {
                owner = Class.forName(place);
            } catch (ClassNotFoundException error) {
                continue;
            }
            Object module = place.endsWith("$") ? owner.getField("MODULE$").get(null) : null;
            for (Method method : owner.getDeclaredMethods()) {
                if (method.getName().equals("configDef") && method.getParameterCount() == 0) {
                    method.setAccessible(true);
                    return (ConfigDef) method.invoke(module);
                }
            }
            for (Field field : owner.getDeclaredFields()) {
                if (field.getName().equals("CONFIG") || field.getName().endsWith("configDef")) {
                    field.setAccessible(true);
                    return (ConfigDef) field.get(module);
                }
            }
        }
        throw new IllegalStateException("no definition in " + String.join(", ", places));
    }

    private static Map<String, Object> keys(ConfigDef definition) throws Exception {
        Map<String, Object> keys = new TreeMap<>();
        for (ConfigDef.ConfigKey key : definition.configKeys().values()) {
            Map<String, Object> facts = new TreeMap<>();
            facts.put("type", key.type.name().toLowerCase(Locale.ROOT));
            if (!key.hasDefault()) {
                facts.put("required", true);
            } else if (key.defaultValue != null && !key.defaultValue.toString().isEmpty()) {
                facts.put("default", ConfigDef.convertToString(key.defaultValue, key.type));
            }
            if (key.internalConfig) {
                facts.put("internal", true);
            }
            String broker = brokerKey(definition, key);
            if (broker != null) {
                facts.put("broker", broker);
            }
            describe(key.validator, facts);
            keys.put(key.name, facts);
        }
        return keys;
    }

    /** Which key of a broker is the default of a topic's key; null where there is none. */
    private static String brokerKey(ConfigDef definition, ConfigDef.ConfigKey key) throws Exception {
        Class<?> type = definition.getClass();
        if (type == ConfigDef.class) {
            return null;
        }
        try {
            Object table = value(Class.forName(SYNONYMS), null, "TOPIC_CONFIG_SYNONYMS");
            return (String) ((Map<?, ?>) table).get(key.name);
        } catch (ClassNotFoundException before35) {
            Method method = type.getDeclaredMethod("getConfigValue", ConfigDef.ConfigKey.class, String.class);
            method.setAccessible(true);
            Object value = method.invoke(definition, key, "Server Default Property");
            return value == null || value.equals("None") ? null : (String) value;
        }
    }

    /** What a validator admits: bounds, or one of a few texts. Whatever else it may demand stays in its own words. */
    private static void describe(Object validator, Map<String, Object> facts) throws Exception {
        if (validator == null) {
            return;
        }
        switch (validator.getClass().getSimpleName()) {
            case "Range":
                put(facts, "min", value(validator, "min"));
                put(facts, "max", value(validator, "max"));
                break;
            case "ValidString":
                put(facts, "one_of", value(validator, "validStrings"));
                break;
            case "CaseInsensitiveValidString":
                put(facts, "one_of", new ArrayList<>((Collection<?>) value(validator, "validStrings")));
                facts.put("any_case", true);
                break;
            case "ValidList":
                put(facts, "one_of", value(value(validator, "validString"), "validStrings"));
                break;
            case "CompositeValidator":
                for (Object part : (List<?>) value(validator, "validators")) {
                    describe(part, facts);
                }
                break;
            default:
                facts.put("rule", validator.getClass().getSimpleName() + ": " + validator);
        }
    }

    private static void put(Map<String, Object> facts, String name, Object value) {
        if (value != null) {
            facts.put(name, value);
        }
    }

    private static Object value(Object owner, String name) throws Exception {
        return value(owner.getClass(), owner, name);
    }

    private static Object value(Class<?> type, Object owner, String name) throws Exception {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(owner);
    }
}
